// GET /models.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <deepseek/core/raw_json.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// One model. Everything after owned_by is optional on the wire: zero or empty if absent.
struct Model {
  std::string id{};
  std::string owned_by{};
  std::string name{};
  std::int64_t context_window = 0;     ///< tokens
  std::int64_t max_output_tokens = 0;  ///< tokens
  std::vector<std::string> input_modalities{};
  std::vector<std::string> output_modalities{};
  std::vector<std::string> effort_levels{};
  std::string default_effort{};
  RawJson raw{};  ///< the object as sent
};

struct ModelList {
  std::vector<Model> data{};
  RawJson raw{};  ///< the whole reply as sent
};

DEEPSEEK_END_NAMESPACE
