// An answer as a struct: the schema goes into the prompt, the reply is checked against it.
#include <deepseek/deepseek.hpp>
#include <iostream>

struct Landmark {
  std::string name;
  std::string city;
  int height_in_metres = 0;
  std::optional<int> year_built;
};

template <>
struct deepseek::Schema<Landmark> {
  static constexpr auto fields =
      std::make_tuple(field("name", &Landmark::name), field("city", &Landmark::city),
                      field("height_in_metres", &Landmark::height_in_metres).minimum(1).maximum(1000),
                      field("year_built", &Landmark::year_built));
};

int main() {
  auto client = deepseek::DeepSeekClient::from_environment();
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }

  auto landmark = client->chat_as<Landmark>("Tell me about the Eiffel Tower.");
  if (!landmark) {  // schema_mismatch says where: "$.height_in_metres: expected ..."
    std::cerr << landmark.error() << '\n';
    return 1;
  }
  std::cout << landmark->name << ", " << landmark->city << ": " << landmark->height_in_metres << " m";
  if (landmark->year_built) std::cout << ", built in " << *landmark->year_built;
  std::cout << '\n';
}
