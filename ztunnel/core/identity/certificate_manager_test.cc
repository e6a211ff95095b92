#include "ztunnel/core/identity/certificate_manager.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "ztunnel/base/status.h"
#include "ztunnel/core/identity/local_authority.h"
#include "ztunnel/core/identity/renewal.h"

namespace mesh::identity {
namespace {

const Identity kReviews{"cluster.local", "shop", "reviews"};
const Identity kRatings{"cluster.local", "shop", "ratings"};

class FakeClock : public Clock {
 public:
  absl::Time Wall() const override { return start_ + wall_.load(); }
  absl::Time Monotonic() const override { return start_ + monotonic_.load(); }
  void Wait(std::condition_variable& wake, std::unique_lock<std::mutex>& lock,
            absl::Duration) override {
    wake.wait_for(lock, std::chrono::milliseconds(1));
  }
  void Advance(absl::Duration by) {
    wall_ = wall_.load() + by;
    monotonic_ = monotonic_.load() + by;
  }
  void AdvanceWall(absl::Duration by) { wall_ = wall_.load() + by; }

 private:
  const absl::Time start_ = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  std::atomic<absl::Duration> wall_{absl::ZeroDuration()}, monotonic_{absl::ZeroDuration()};
};

class Manager : public ::testing::Test {
 protected:
  Manager() : runner_([this] { loop_.Run(); }) { ca_.SetNow(clock_.Wall()); }
  ~Manager() override {
    loop_.Stop();
    runner_.join();
  }

  void Advance(absl::Duration by) {
    ca_.SetNow(clock_.Wall() + by);
    clock_.Advance(by);
  }
  std::future<absl::StatusOr<CertificateRef>> Wait(const Identity& identity) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<CertificateRef>>>();
    manager_.Get(identity, loop_,
                 [promise](auto result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  absl::StatusOr<CertificateRef> Get(const Identity& identity) { return Wait(identity).get(); }
  // Lets time pass until the only identity's fetch has failed so often.
  void FailTimes(int times) {
    for (int i = 1; i <= times; ++i) {
      ASSERT_TRUE(Soon([&] { return ca_.calls() >= i && !manager_.Dump()[0].fetching; }));
      if (i < times) Advance(absl::Seconds(20));
    }
  }
  // Waits for what another thread does soon.
  template <typename Fn>
  bool Soon(Fn fn) {
    for (int i = 0; i < 5000; ++i) {
      if (fn()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  LocalAuthority ca_;
  FakeClock clock_;
  base::EventLoop loop_;
  std::thread runner_;
  CertificateManager manager_{
      ca_, {.lifetime = absl::Hours(24), .parallel_fetches = 2, .clock = &clock_}};
};

TEST(Renewal, IsAtHalfLifeOrAtHalfOfWhatRemains) {
  const absl::Time t = absl::FromUnixSeconds(1'000'000);
  EXPECT_EQ(RenewAt(t, t + absl::Hours(24), t), t + absl::Hours(12));
  // Dated back by two minutes, valid for ten seconds.
  EXPECT_EQ(RenewAt(t - absl::Minutes(2), t + absl::Seconds(10), t), t + absl::Seconds(5));
  EXPECT_EQ(RenewAt(t - absl::Hours(2), t - absl::Hours(1), t), t + absl::Milliseconds(500));
}

TEST(Renewal, RetriesDoubleUpToTheLimit) {
  EXPECT_EQ(RetryDelay(1, 0.5), absl::Milliseconds(500));
  EXPECT_EQ(RetryDelay(2, 0.5), absl::Seconds(1));
  EXPECT_EQ(RetryDelay(2, 0), absl::Milliseconds(800));
  EXPECT_EQ(RetryDelay(1000, 0.999), absl::Seconds(150));
}

TEST_F(Manager, FetchesBeforeFirstUse) {
  manager_.Retain(kReviews);
  ASSERT_TRUE(Soon([&] { return manager_.TryGet(kReviews) != nullptr; }));
  const auto got = Get(kReviews);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ((*got)->identity(), kReviews);
  EXPECT_EQ(ca_.calls(), 1);
}

TEST_F(Manager, RefusesIdentitiesThatNobodyRetains) {
  EXPECT_EQ(Get(kReviews).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ca_.calls(), 0);
}

TEST_F(Manager, ForgetsWithTheLastPod) {
  manager_.Retain(kReviews);
  manager_.Retain(kReviews);
  ASSERT_TRUE(Get(kReviews).ok());
  manager_.Release(kReviews);
  EXPECT_NE(manager_.TryGet(kReviews), nullptr);
  manager_.Release(kReviews);
  EXPECT_EQ(manager_.TryGet(kReviews), nullptr);
  EXPECT_TRUE(manager_.Dump().empty());
}

TEST_F(Manager, RenewsAtHalfLife) {
  manager_.Retain(kReviews);
  const auto first = Get(kReviews);
  ASSERT_TRUE(first.ok());
  Advance(absl::Hours(11));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(ca_.calls(), 1);
  Advance(absl::Hours(1));
  ASSERT_TRUE(Soon([&] { return manager_.TryGet(kReviews) != *first; }));
  EXPECT_EQ(ca_.calls(), 2);
}

TEST_F(Manager, RenewsWhenTheWallClockAloneIsPastHalfLife) {
  manager_.Retain(kReviews);
  ASSERT_TRUE(Get(kReviews).ok());
  ca_.SetNow(clock_.Wall() + absl::Hours(13));
  clock_.AdvanceWall(absl::Hours(13));
  EXPECT_TRUE(Soon([&] { return ca_.calls() == 2; }));
}

TEST_F(Manager, KeepsTheOldOneWhileRenewalFails) {
  manager_.Retain(kReviews);
  const auto first = Get(kReviews);
  ca_.FailWith(Unavailable("down"));
  Advance(absl::Hours(13));
  ASSERT_TRUE(Soon([&] { return !manager_.Dump()[0].last_error.ok(); }));
  EXPECT_EQ(manager_.TryGet(kReviews), *first);
  const int calls = ca_.calls();
  Advance(absl::Minutes(3));
  ASSERT_TRUE(Soon([&] { return ca_.calls() > calls; }));
  Advance(absl::Hours(12));
  EXPECT_EQ(manager_.TryGet(kReviews), nullptr);  // over
  ca_.FailWith(absl::OkStatus());
  Advance(absl::Minutes(3));
  ASSERT_TRUE(Soon([&] { return manager_.TryGet(kReviews) != nullptr; }));
  EXPECT_TRUE(manager_.Dump()[0].last_error.ok());
}

TEST_F(Manager, TellsWaitersWhyAndDoesNotLetThemStormTheAuthority) {
  ca_.FailWith(Unavailable("down"));
  manager_.Retain(kReviews);
  FailTimes(4);  // until the next try is further away than a connection waits
  const int calls = ca_.calls();
  for (int i = 0; i < 100; ++i) {
    const auto got = Get(kReviews);
    EXPECT_EQ(got.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_NE(got.status().ToString().find("down"), std::string::npos);
  }
  EXPECT_EQ(ca_.calls(), calls);
}

TEST_F(Manager, RefusesACertificateOfAnother) {
  ca_.IssueFor(kRatings);
  manager_.Retain(kReviews);
  auto waiting = Wait(kReviews);
  FailTimes(3);
  EXPECT_EQ(waiting.get().status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(manager_.TryGet(kReviews), nullptr);
}

TEST_F(Manager, StopTellsThoseWhoWait) {
  ca_.FailWith(Unavailable("down"));
  manager_.Retain(kReviews);
  auto waiting = Wait(kReviews);
  FailTimes(1);
  manager_.Stop();
  EXPECT_EQ(waiting.get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Get(kReviews).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(Manager, WaitersSitOutAnAuthorityThatHasNotHeardOfThePodYet) {
  ca_.FailWith(Unauthenticated("request impersonation authentication failure"));
  manager_.Retain(kReviews);
  auto waiting = Wait(kReviews);
  FailTimes(1);
  ca_.FailWith(absl::OkStatus());
  Advance(absl::Seconds(1));
  EXPECT_TRUE(waiting.get().ok());
}

}  // namespace
}  // namespace mesh::identity
