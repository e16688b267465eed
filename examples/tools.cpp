// Functions the model may call: it names one with its arguments, the library checks them, runs the
// function and hands the result back, until the model answers in words.
#include <deepseek/deepseek.hpp>
#include <iostream>

struct Place {
  std::string city;
  std::optional<std::string> unit;
};

template <>
struct deepseek::Schema<Place> {
  static constexpr auto fields = std::make_tuple(field("city", &Place::city).describe("City and country"),
                                                 field("unit", &Place::unit).one_of("celsius", "fahrenheit"));
};

int main() {
  auto client = deepseek::DeepSeekClient::from_environment();
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }

  deepseek::Tools tools;
  tools.add("get_weather", "The weather in a city now", [](const Place& place) -> deepseek::Result<std::string> {
    std::cout << "get_weather: " << place.city << '\n';
    return place.unit == "fahrenheit" ? "snow, 28 degrees" : "snow, -2 degrees";
  });

  deepseek::ConversationOptions options;
  options.system = "You are brief.";
  options.thinking = deepseek::thinking::disabled;
  options.max_tokens = 200;
  deepseek::Conversation talk(*client, options);
  auto reply = talk.ask("What is the weather in Oslo? Do I need a coat?", tools);
  if (!reply) {
    std::cerr << reply.error() << '\n';
    return 1;
  }
  std::cout << reply->content() << '\n';
}
