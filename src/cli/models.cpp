// deepseek models: what the server offers.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"
#include "cli/options.hpp"

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
  return text + "]}\n";
}

int run_models(const Args& args, Output& output) {
  if (!args.positionals().empty())
    return usage_failure(models_command, Error(ErrorCode::invalid_argument, "there is an argument too many"));
  auto connection = connection_from(args);
  if (!connection) return usage_failure(models_command, connection.error());
  auto client = make_client(*connection);
  if (!client) return show_failure(output, client.error(), args.has("json"));
  const CancelSource source;
  const Interrupt interrupt(source);
  CallOptions call;
  call.cancel = source.token();
  const auto models = client->models(call);
  if (!models) return show_failure(output, models.error(), args.has("json"));
  output.write(args.has("json") ? models_json(*models) : printable(models_table(*models)));
  return finish(output, exit_code::complete);
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
