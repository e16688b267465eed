// Calls inside the event loop of a program: one descriptor to poll, and next() never blocks.
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <deepseek/deepseek.hpp>
#include <iostream>

constexpr std::array questions = {"Name a colour.", "Name an animal.", "Name a river."};

struct Session {
  std::string text;
  bool failed = false;
};

// Everything that waits now; the queue's descriptor is readable again when more comes.
void take_events(deepseek::EventQueue& queue, std::array<Session, questions.size()>& sessions) {
  while (auto event = queue.next()) {
    Session& session = sessions.at(event->tag);
    if (event->chunk) session.text += event->chunk->content();
    if (!event->result) continue;
    session.failed = !*event->result;
    std::cout << questions.at(event->tag) << ' ' << session.text << '\n';
    if (session.failed) std::cerr << event->result->error() << '\n';
  }
}

int main() {
  auto client = deepseek::DeepSeekClient::from_environment();
  if (!client) {
    std::cerr << client.error() << '\n';
    return 1;
  }

  deepseek::EventQueue queue(*client);
  for (std::uint64_t tag = 0; tag < questions.size(); ++tag) {
    deepseek::ChatRequest request;
    request.messages = {deepseek::Message::user(questions.at(tag))};
    request.thinking = deepseek::thinking::disabled;
    request.max_tokens = 40;
    queue.submit(request, tag);
  }

  // What else the program does: here, a clock that ticks.
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  const itimerspec every_10_ms = {{0, 10'000'000}, {0, 10'000'000}};
  timerfd_settime(timer, 0, &every_10_ms, nullptr);

  std::array<Session, questions.size()> sessions;
  std::uint64_t ticks = 0;
  std::array<pollfd, 2> watched = {{{queue.fd(), POLLIN, 0}, {timer, POLLIN, 0}}};
  while (queue.live() > 0) {
    poll(watched.data(), watched.size(), -1);
    if (watched[0].revents & POLLIN) take_events(queue, sessions);
    std::uint64_t expired = 0;
    if (read(timer, &expired, sizeof expired) == sizeof expired) ticks += expired;
  }
  close(timer);
  std::cout << "[the program's own clock ticked " << ticks << " times meanwhile]\n";
  for (const Session& session : sessions)
    if (session.failed) return 1;
}
