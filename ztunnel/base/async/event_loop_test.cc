#include "ztunnel/base/async/event_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "ztunnel/base/unique_fd.h"

namespace mesh::base {
namespace {

TEST(EventLoop, RunsPostedWorkInOrderFromAnotherThread) {
  EventLoop loop;
  std::vector<int> order;
  std::thread other([&] {
    for (int i = 0; i < 3; ++i) loop.Post([&order, i] { order.push_back(i); });
    loop.Post([&] { loop.Stop(); });
  });
  loop.Run();
  other.join();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

TEST(EventLoop, TimersFireInOrderAndCancelledOnesDoNot) {
  EventLoop loop;
  std::vector<int> order;
  loop.After(absl::Milliseconds(10), [&] { order.push_back(2); });
  loop.After(absl::Milliseconds(2), [&] { order.push_back(1); });
  const auto id = loop.After(absl::Milliseconds(5), [&] { order.push_back(9); });
  loop.CancelTimer(id);
  loop.After(absl::Milliseconds(15), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(EventLoop, ManyCancelledTimersAreForgotten) {
  EventLoop loop;
  for (int i = 0; i < 10'000; ++i) loop.CancelTimer(loop.After(absl::Hours(1), [] {}));
  loop.After(absl::ZeroDuration(), [&] { loop.Stop(); });
  loop.Run();
}

struct OnReadable : EventHandler {
  std::function<void()> fn;
  void OnEvents(uint32_t) override { fn(); }
};

TEST(EventLoop, HandlerRemovedInTheSameBatchIsNotCalled) {
  EventLoop loop;
  int a[2], b[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
  OnReadable first, second;
  int calls = 0;
  first.fn = [&] {
    ++calls;
    loop.Remove(b[0], second);
  };
  second.fn = [&] {
    ++calls;
    loop.Remove(a[0], first);
  };
  ASSERT_TRUE(loop.Add(a[0], EPOLLIN, first).ok());
  ASSERT_TRUE(loop.Add(b[0], EPOLLIN, second).ok());
  ASSERT_EQ(write(a[1], "x", 1), 1);
  ASSERT_EQ(write(b[1], "x", 1), 1);
  loop.After(absl::Milliseconds(5), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(calls, 1);
  for (int fd : {a[0], a[1], b[0], b[1]}) close(fd);
}

TEST(EventLoop, WhatCannotBeWatchedIsAnErrorOfItsOwner) {
  EventLoop loop;
  OnReadable handler;
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);  // epoll takes no such files
  ASSERT_GE(file, 0);
  EXPECT_FALSE(loop.Add(file, EPOLLIN, handler).ok());
  loop.Remove(file, handler);  // of no effect
  close(file);
}

struct CountingFlusher : Flusher {
  EventLoop* loop = nullptr;
  int flushes = 0;
  void Flush() override { ++flushes; }
};

struct Chain : Deferred {
  std::function<void()> then;
  int runs = 0;
  void RunDeferred() override {
    ++runs;
    if (then) then();
  }
};

TEST(EventLoop, DeferredOnesMayCancelAndDeferEachOther) {
  EventLoop loop;
  Chain first, second, third, again;
  first.then = [&] {
    loop.CancelDefer(second);  // its turn in this round does not come
    loop.CancelDefer(second);
    loop.Defer(third);  // waits already, in this round: runs once
  };
  again.then = [&] {
    if (again.runs == 1) loop.Defer(again);  // in the next round
    if (again.runs == 2) loop.Stop();
  };
  loop.Post([&] {
    for (Chain* chain : {&first, &second, &third, &again}) loop.Defer(*chain);
  });
  loop.Run();
  EXPECT_EQ(first.runs, 1);
  EXPECT_EQ(second.runs, 0);
  EXPECT_EQ(third.runs, 1);
  EXPECT_EQ(again.runs, 2);
}

TEST(EventLoop, FlushesOnceATurn) {
  EventLoop loop;
  CountingFlusher flusher, cancelled;
  loop.Post([&] {
    for (int i = 0; i < 5; ++i) loop.RequestFlush(flusher);
    loop.RequestFlush(cancelled);
    loop.CancelFlush(cancelled);
  });
  loop.After(absl::Milliseconds(5), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(flusher.flushes, 1);
  EXPECT_EQ(cancelled.flushes, 0);
}

}  // namespace
}  // namespace mesh::base
