// Where user code runs.
#pragma once

#include <deepseek/config.hpp>
#include <deepseek/core/function.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// One piece of work. Runs once.
using Task = Function<void()>;

/// A place to run tasks in order. The library posts callbacks of one call in order and never two at a
/// time. post() is called on the I/O thread, must not block, and must be safe from any thread.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void post(Task task) = 0;
  /// True on a thread that runs this executor's tasks: a client destroyed there does not wait for
  /// callbacks that only this thread could run. The default suits executors with threads of their own.
  virtual bool running_here() const { return false; }
};

DEEPSEEK_END_NAMESPACE
