// Memory that held a secret holds it no more when it is given back.
#include <malloc.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/temp_folder.hpp"

#include <deepseek/core/credential.hpp>
#include <deepseek/core/detail/redact.hpp>
#include <deepseek/core/secret.hpp>

namespace {

std::atomic<bool> watching{false};
std::atomic<int> given_back{0};  // blocks that still held the mark
constexpr std::string_view mark = "seeded-secret-0123456789-longer-than-a-short-string";

void give_back(void* block) noexcept {
  if (block != nullptr && watching.load(std::memory_order_relaxed)) {
    const std::string_view bytes(static_cast<const char*>(block), malloc_usable_size(block));
    if (bytes.find(mark) != std::string_view::npos) given_back.fetch_add(1, std::memory_order_relaxed);
  }
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size == 0 ? 1 : size); }
void* operator new(std::size_t size) {
  if (void* block = operator new(size, std::nothrow)) return block;
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept { give_back(block); }
void operator delete(void* block, std::size_t) noexcept { give_back(block); }

using namespace deepseek;

namespace {

/// Blocks given back with the mark in them while `work` ran.
template <class Work>
int left_behind(Work work) {
  given_back = 0;
  watching = true;
  work();
  watching = false;
  return given_back;
}

}  // namespace

TEST_CASE("a long secret is overwritten before its memory is given back", "[core]") {
  const auto text = [] { return std::string(mark); };
  CHECK(left_behind([&] { CHECK(text().size() == mark.size()); }) >= 1);  // the search finds what is there
  CHECK(left_behind([&] { Secret secret(text()); }) == 0);
  CHECK(left_behind([&] {
          Secret secret(text());
          Secret copy = secret;
          const Secret moved = std::move(secret);
          copy = moved;
          copy = Secret();
        }) == 0);
  CHECK(left_behind([&] {
          const Credential credential = api_key(text());
          credential.source().authorization([](const Result<Secret>& value) { CHECK(value.has_value()); });
        }) == 0);
  const deepseek_tests::TempFolder folder;
  const std::string path = folder.write("key", text());
  CHECK(left_behind([&] { CHECK(api_key_from_file(path).has_value()); }) == 0);
}

TEST_CASE("a credential is hidden in what others say", "[core]") {
  const Secret bearer(std::string("Bearer tok00112233"));
  std::string text = "tok00112233 and tok00112233, not tok0011";
  detail::hide_credential(text, bearer);
  CHECK(text == "*** and ***, not tok0011");
  CHECK(detail::tells_credential("0-tok00112233", bearer));
  CHECK(detail::tells_credential("0011", bearer));
  CHECK_FALSE(detail::tells_credential("Bearer", bearer));
  CHECK_FALSE(detail::tells_credential("", bearer));
  CHECK(detail::credential_in(Secret(std::string("tok00112233"))) == "tok00112233");
  text = "a key";
  for (const Secret& nothing : {Secret(), Secret(std::string("Bearer key"))}) {
    detail::hide_credential(text, nothing);
    CHECK_FALSE(detail::tells_credential("key", nothing));
  }
  CHECK(text == "a key");
}

TEST_CASE("a short secret is overwritten where it lies", "[core]") {
  alignas(Secret) std::array<unsigned char, sizeof(Secret)> place;
  place.fill(0xFF);
  const auto holds = [&](std::string_view word) {
    return std::string_view(reinterpret_cast<const char*>(place.data()), place.size()).find(word) !=
           std::string_view::npos;
  };
  Secret* const secret = new (place.data()) Secret(std::string("sk-short"));
  CHECK(holds("sk-short"));
  secret->~Secret();
  CHECK_FALSE(holds("sk-short"));
  CHECK_FALSE(holds("short"));
}
