// The options of a client for a Double, in a room of their own: only this needs the library's policies.
#include <deepseek/testing/double.hpp>
#include <deepseek/transport/endpoint.hpp>

DEEPSEEK_BEGIN_NAMESPACE
namespace test {

ClientOptions Double::client_options() const {
  using std::chrono::seconds;
  ClientOptions options;
  Endpoint endpoint;
  endpoint.base_url = base_url();
  endpoint.credential = api_key(std::string("test-key"));
  endpoint.deepseek = true;
  options.endpoints.push_back(std::move(endpoint));
  options.tls.ca_file = ca_file();
  options.retry.base = options.retry.throttled_base = std::chrono::milliseconds(1);
  options.retry.cap = std::chrono::milliseconds(10);
  options.timeouts.connect = seconds(5);
  options.timeouts.tls = seconds(5);
  options.timeouts.first_byte = seconds(30);
  options.timeouts.first_token = seconds(30);
  options.timeouts.between_tokens = seconds(30);
  options.timeouts.idle = seconds(30);
  return options;
}

}  // namespace test
DEEPSEEK_END_NAMESPACE
