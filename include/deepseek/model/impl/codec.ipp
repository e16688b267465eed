#pragma once
#include <deepseek/model/detail/codec.hpp>

#include <deepseek/model/detail/json_text.hpp>
#include <deepseek/model/impl/chunk_template.ipp>
#include <deepseek/model/impl/encode.ipp>
#include <deepseek/model/impl/json_text.ipp>
#include <deepseek/model/impl/json_writer.ipp>
#include <deepseek/model/impl/member_bag.ipp>
#include <deepseek/model/impl/reply_decoder.ipp>
#include <deepseek/model/impl/service_error.ipp>

DEEPSEEK_BEGIN_NAMESPACE
namespace detail {

/// Keeps the one body of a small reply.
class JsonBodyDecoder final : public BodyDecoder {
 public:
  FrameKind inspect(std::string_view data) override {
    body_ = json_trim(data);
    if (body_.empty()) return FrameKind::data;
    fault_ = json_fault(body_);
    if (fault_ != nullptr) return FrameKind::malformed;
    for (JsonMembers members{JsonValue(body_)}; members.next();)
      if (members.key() == "error" && members.value().is_object()) is_error_ = true;
    return is_error_ ? FrameKind::error : FrameKind::data;
  }

  std::optional<Error> conclude(bool clean) override {
    if (!body_.empty() && fault_ == nullptr && !is_error_) return std::nullopt;
    if (is_error_) {
      ServiceError service;
      read_service_error(JsonValue(body_), service);
      return error_in_reply(std::move(service), false);
    }
    if (!clean) return Error(ErrorCode::truncated, "the reply was cut off", "repeat the request");
    if (body_.empty()) return Error(ErrorCode::empty_reply, "the reply has no body", "repeat the request");
    return Error(ErrorCode::malformed_json, "the reply is not JSON", "check the base URL")
        .with([this](ErrorDetails& details) { details.cause = fault_; });
  }

  Error error_from_body(int status, std::string_view body) override { return decode_error(status, body); }
  void reset() override { *this = JsonBodyDecoder(); }
  const std::string& body() const override { return body_; }

 private:
  std::string body_;
  const char* fault_ = nullptr;
  bool is_error_ = false;
};

DEEPSEEK_DECL std::shared_ptr<BodyDecoder> make_body_decoder() { return std::make_shared<JsonBodyDecoder>(); }

DEEPSEEK_DECL Error misshapen(const char* what) {
  return Error(ErrorCode::schema_mismatch, std::string("the reply is not ") + what, "check the base URL");
}

DEEPSEEK_DECL std::vector<std::string> read_words(JsonValue array) {
  std::vector<std::string> words;
  for (JsonItems items(array); items.next();)
    if (items.value().is_string()) words.push_back(items.value().text());
  return words;
}

DEEPSEEK_DECL void read_efforts(JsonValue effort, Model& model) {
  for (JsonMembers members(effort); members.next();) {
    if (members.key() == "supported_levels") model.effort_levels = read_words(members.value());
    if (members.key() == "default_level") model.default_effort = members.value().text();
  }
}

DEEPSEEK_DECL Model read_model(JsonValue object) {
  Model model;
  model.raw = RawJson(std::string(object.raw()));
  for (JsonMembers members(object); members.next();) {
    const std::string_view key = members.key();
    const JsonValue value = members.value();
    if (key == "id") model.id = value.text();
    if (key == "owned_by") model.owned_by = value.text();
    if (key == "name") model.name = value.text();
    if (key == "context_window") value.get(model.context_window);
    if (key == "max_output_tokens") value.get(model.max_output_tokens);
    if (key == "input_modalities") model.input_modalities = read_words(value);
    if (key == "output_modalities") model.output_modalities = read_words(value);
    if (key == "effort") read_efforts(value, model);
  }
  return model;
}

DEEPSEEK_DECL Result<ModelList> decode_models(std::string_view json) {
  constexpr std::size_t max_models = 10'000;
  const std::string_view text = json_trim(json);
  if (const char* fault = json_fault(text))
    return Error(ErrorCode::malformed_json, std::string("the list of models is not JSON: ") + fault);
  ModelList list;
  bool found = false;
  for (JsonMembers members{JsonValue(text)}; members.next();) {
    if (members.key() != "data" || !members.value().is_array()) continue;
    found = true;
    for (JsonItems items(members.value()); items.next();) {
      if (!items.value().is_object() || list.data.size() >= max_models) return misshapen("a list of models");
      list.data.push_back(read_model(items.value()));
    }
  }
  if (!found) return misshapen("a list of models");
  return list;
}

DEEPSEEK_DECL BalanceInfo read_balance_info(JsonValue object) {
  // Documented as strings; a number is kept as it stands rather than rounded.
  const auto amount = [](JsonValue value) {
    return value.kind() == JsonKind::number ? std::string(value.raw()) : value.text();
  };
  BalanceInfo info;
  for (JsonMembers members(object); members.next();) {
    const std::string_view key = members.key();
    if (key == "currency") info.currency = members.value().text();
    if (key == "total_balance") info.total_balance = amount(members.value());
    if (key == "granted_balance") info.granted_balance = amount(members.value());
    if (key == "topped_up_balance") info.topped_up_balance = amount(members.value());
  }
  return info;
}

DEEPSEEK_DECL Result<Balance> decode_balance(std::string_view json) {
  constexpr std::size_t max_currencies = 1000;
  const std::string_view text = json_trim(json);
  if (const char* fault = json_fault(text))
    return Error(ErrorCode::malformed_json, std::string("the balance is not JSON: ") + fault);
  Balance balance;
  balance.raw = RawJson(std::string(text));
  bool found = false;
  for (JsonMembers members{JsonValue(text)}; members.next();) {
    if (members.key() == "is_available") balance.is_available = members.value().is_true();
    if (members.key() != "balance_infos" || !members.value().is_array()) continue;
    found = true;
    for (JsonItems items(members.value()); items.next();) {
      if (!items.value().is_object() || balance.balance_infos.size() >= max_currencies) return misshapen("a balance");
      balance.balance_infos.push_back(read_balance_info(items.value()));
    }
  }
  if (!found) return misshapen("a balance");
  return balance;
}

}  // namespace detail
DEEPSEEK_END_NAMESPACE
