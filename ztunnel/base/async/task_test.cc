#include "ztunnel/base/async/task.h"

#include <gtest/gtest.h>

#include <memory>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/async/task_set.h"

namespace mesh::base {
namespace {

// Lives in a frame; tells when the frame is gone.
struct Mark {
  explicit Mark(int& alive) : alive_(&alive) { ++*alive_; }
  Mark(Mark&& o) noexcept : alive_(std::exchange(o.alive_, nullptr)) {}
  ~Mark() {
    if (alive_ != nullptr) --*alive_;
  }
  int* alive_;
};

Task<int> Leaf(EventLoop& loop, int& alive, Event& event) {
  Mark mark(alive);
  co_await Sleep(loop, absl::Milliseconds(1));
  const bool set = co_await event.Wait(absl::Milliseconds(5));
  co_return set ? 1 : 2;
}

Task<std::unique_ptr<int>> Middle(EventLoop& loop, int& alive, Event& event) {
  Mark mark(alive);
  const int value = co_await Leaf(loop, alive, event);
  co_await Sleep(loop, absl::Milliseconds(1));
  co_return std::make_unique<int>(value);
}

Task<void> Root(EventLoop& loop, int& alive, Event& event, int& result) {
  Mark mark(alive);
  std::unique_ptr<int> value = co_await Middle(loop, alive, event);
  result = *value;
}

TEST(Task, ReturnsThroughThreeFrames) {
  EventLoop loop;
  Event event(loop);
  int alive = 0, result = 0;
  TaskSet tasks;
  tasks.Start(Root(loop, alive, event, result));
  loop.After(absl::Milliseconds(3), [&] { event.Set(); });
  loop.After(absl::Milliseconds(20), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(result, 1);
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(tasks.empty());
}

TEST(Task, WaitTellsThatTimePassed) {
  EventLoop loop;
  Event event(loop);
  int alive = 0, result = 0;
  TaskSet tasks;
  tasks.Start(Root(loop, alive, event, result));
  loop.After(absl::Milliseconds(30), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(result, 2);
}

// Cancelled at every point where it may wait: before its start, in each wait, when the event is set
// but the waiter has not run yet, and after its end.
TEST(Task, DestroyedAtEveryWaitLeavesNothing) {
  for (int step = 0; step < 60; ++step) {
    EventLoop loop;
    Event event(loop);
    int alive = 0, result = 0;
    auto tasks = std::make_unique<TaskSet>();
    tasks->Start(Root(loop, alive, event, result));
    loop.After(absl::Microseconds(1500), [&] { event.Set(); });
    loop.After(absl::Microseconds(100 * step), [&] {
      if (step % 2 == 0) event.Set();
      tasks.reset();
      EXPECT_EQ(alive, 0);
    });
    loop.After(absl::Milliseconds(9), [&] { loop.Stop(); });
    loop.Run();
    EXPECT_EQ(alive, 0);
  }
}

TEST(Task, NeverStartedIsDestroyed) {
  EventLoop loop;
  Event event(loop);
  int alive = 0, result = 0;
  {
    Task<void> task = Root(loop, alive, event, result);
  }
  EXPECT_EQ(alive, 0);
}

TEST(Task, SetBeforeWaitDoesNotSuspend) {
  EventLoop loop;
  Event event(loop);
  event.Set();
  bool done = false;
  TaskSet tasks;
  tasks.Start([](Event& e, bool& d) -> Task<void> {
    co_await e.Wait();
    d = true;
  }(event, done));
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace mesh::base
