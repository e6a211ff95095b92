// A coroutine that somebody owns: Task<T> starts when it is awaited and ends with its owner.
//
// Owner: whoever holds the Task: the frame of the coroutine that awaits it, or a TaskSet for roots.
// Destroying a Task that waits destroys its frame and, with it, the task it waits for: that is how
// everything is cancelled. Destroying a task that is running now is a bug. Thread: one loop.
// Parameters are taken by value, or by reference to what outlives the task.
#pragma once

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include "ztunnel/base/log.h"

namespace mesh::base {

template <typename T>
class Task;

namespace internal {

class PromiseBase {
 public:
  std::suspend_always initial_suspend() noexcept { return {}; }

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <typename P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept {
      PromiseBase& promise = h.promise();
      if (promise.continuation_) return promise.continuation_;
      // Last touch: the callback may destroy the frame.
      if (promise.on_done_ != nullptr) promise.on_done_(promise.on_done_argument_);
      return std::noop_coroutine();
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() { Fatal("exception in a coroutine"); }

  std::coroutine_handle<> continuation_;
  void (*on_done_)(void*) = nullptr;
  void* on_done_argument_ = nullptr;
};

template <typename T>
class Promise final : public PromiseBase {
 public:
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T Take() { return std::move(*value_); }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> final : public PromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() {}
  void Take() {}
};

}  // namespace internal

template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Reset();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() { Reset(); }

  explicit operator bool() const { return static_cast<bool>(handle_); }

  // Awaiting starts it; the result is moved out. The task must live until then: `co_await F()`
  // keeps the temporary in the frame that awaits.
  auto operator co_await() && noexcept {
    struct Awaiter {
      Handle handle;
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
        handle.promise().continuation_ = caller;
        return handle;
      }
      T await_resume() { return handle.promise().Take(); }
    };
    return Awaiter{handle_};
  }

  // For roots: runs to its first wait. `done` is called once when it ends and may destroy the Task.
  void Start(void (*done)(void*), void* argument) {
    handle_.promise().on_done_ = done;
    handle_.promise().on_done_argument_ = argument;
    handle_.resume();
  }

 private:
  void Reset() {
    if (handle_) std::exchange(handle_, nullptr).destroy();
  }
  Handle handle_;
};

namespace internal {
template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}
}  // namespace internal

}  // namespace mesh::base
