// deepseek models: what the server offers.
#include "cli/query.hpp"

namespace deepseek::cli {

namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "-" : text;
}

std::string count_or_dash(std::int64_t count) { return count ? std::to_string(count) : "-"; }

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::string models_table(const ModelList& models) {
  std::vector<std::vector<std::string>> rows = {{"MODEL", "NAME", "CONTEXT", "OUTPUT", "INPUT", "EFFORT"}};
  for (const Model& model : models.data)
    rows.push_back({model.id, or_dash(model.name), count_or_dash(model.context_window),
                    count_or_dash(model.max_output_tokens), joined(model.input_modalities),
                    joined(model.effort_levels)});
  return table(rows);
}

std::string models_json(const ModelList& models) {
  std::string text = R"({"object":"list","data":[)";
  for (const Model& model : models.data) {
    if (text.back() == '}') text += ',';
    text += json_line(model.raw.view());
  }
  return text + "]}";
}

int run_models(const Args& args, Output& output) {
  return run_query(
      models_command, args, output,
      [](const DeepSeekClient& client, const CallOptions& call) { return client.models(call); }, models_table,
      models_json);
}

}  // namespace

const Command models_command = {
    "models",
    "",
    "Lists the models of the server.",
    "--json prints the service's object on one line; after a failure {\"error\":{...}}.\n",
    {},
    run_models,
};

}  // namespace deepseek::cli
