#include "ztunnel/core/net/host_resolver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "ztunnel/base/status.h"

namespace mesh::net {
namespace {

const IpAddress kAddress = *IpAddress::Parse("192.0.2.7");

// A lookup that waits until it is let go, and a clock that stands still.
class HostResolverTest : public testing::Test {
 protected:
  HostResolver::Options Options() {
    HostResolver::Options options;
    options.lookup = [fails = fails_,
                      gate = gate_](const std::string& host) -> HostResolver::Result {
      gate.wait();
      if (*fails) return NotFound("host {} is not there", host);
      return std::vector<IpAddress>{kAddress};
    };
    options.now = [this] { return absl::FromUnixSeconds(now_); };
    return options;
  }
  void SetUp() override {
    thread_ = std::thread([this] { loop_.Run(); });
  }
  void TearDown() override {
    Open();
    loop_.Stop();
    thread_.join();
  }
  void Open() {
    if (!std::exchange(open_, true)) opened_.set_value();
  }
  std::future<HostResolver::Result> Ask(HostResolver& resolver, const std::string& host) {
    auto answer = std::make_shared<std::promise<HostResolver::Result>>();
    auto future = answer->get_future();
    resolver.Resolve(host, loop_, [answer](HostResolver::Result result) {
      answer->set_value(std::move(result));
    });
    return future;
  }

  base::EventLoop loop_;
  std::thread thread_;
  std::promise<void> opened_;
  std::shared_future<void> gate_ = opened_.get_future().share();
  bool open_ = false;
  std::atomic<int64_t> now_ = 1'000'000;
  // A lookup that was left behind looks at it later than anybody.
  std::shared_ptr<std::atomic<bool>> fails_ = std::make_shared<std::atomic<bool>>(false);
};

TEST_F(HostResolverTest, LooksANameUpOnceForAllWhoAsk) {
  HostResolver resolver(Options());
  auto first = Ask(resolver, "db.example.com");
  auto second = Ask(resolver, "db.example.com");
  Open();
  EXPECT_EQ(first.get().value(), std::vector<IpAddress>{kAddress});
  EXPECT_EQ(second.get().value(), std::vector<IpAddress>{kAddress});
  EXPECT_EQ(resolver.counters().lookups, 1u);
}

TEST_F(HostResolverTest, KeepsAnAnswerForAWhile) {
  Open();
  HostResolver resolver(Options());
  ASSERT_TRUE(Ask(resolver, "db.example.com").get().ok());
  now_ += 14;
  ASSERT_TRUE(Ask(resolver, "db.example.com").get().ok());
  EXPECT_EQ(resolver.counters().lookups, 1u);
  now_ += 1;
  ASSERT_TRUE(Ask(resolver, "db.example.com").get().ok());
  EXPECT_EQ(resolver.counters().lookups, 2u);
}

TEST_F(HostResolverTest, AFailureIsKeptShorterAndForgottenByTheNextAnswer) {
  Open();
  HostResolver resolver(Options());
  *fails_ = true;
  EXPECT_TRUE(absl::IsNotFound(Ask(resolver, "db.example.com").get().status()));
  *fails_ = false;
  EXPECT_TRUE(absl::IsNotFound(Ask(resolver, "db.example.com").get().status()));
  now_ += 2;
  EXPECT_TRUE(Ask(resolver, "db.example.com").get().ok());
  EXPECT_EQ(resolver.counters().failures, 1u);
}

TEST_F(HostResolverTest, HoldsNoMoreNamesThanItsLimit) {
  Open();
  HostResolver::Options options = Options();
  options.max_names = 2;
  HostResolver resolver(std::move(options));
  for (const char* host : {"a.example", "b.example", "c.example"}) {
    ASSERT_TRUE(Ask(resolver, host).get().ok());
    now_ += 1;
  }
  EXPECT_EQ(resolver.counters().names, 2u);
  ASSERT_TRUE(Ask(resolver, "c.example").get().ok());
  EXPECT_EQ(resolver.counters().lookups, 3u);
  ASSERT_TRUE(Ask(resolver, "a.example").get().ok());  // expired first, so it went
  EXPECT_EQ(resolver.counters().lookups, 4u);
}

TEST_F(HostResolverTest, RefusesMoreThanMayWait) {
  HostResolver::Options options = Options();
  options.max_names = 2;
  options.max_waiters = 3;
  HostResolver resolver(std::move(options));
  auto a = Ask(resolver, "a.example");
  auto b = Ask(resolver, "b.example");
  EXPECT_TRUE(absl::IsResourceExhausted(Ask(resolver, "c.example").get().status()));
  auto again = Ask(resolver, "a.example");
  EXPECT_TRUE(absl::IsResourceExhausted(Ask(resolver, "b.example").get().status()));
  EXPECT_EQ(resolver.counters().refused, 2u);
  Open();
  EXPECT_TRUE(a.get().ok());
  EXPECT_TRUE(b.get().ok());
  EXPECT_TRUE(again.get().ok());
}

TEST_F(HostResolverTest, StopLeavesALookupBehindThatTellsNobody) {
  auto told = std::make_shared<std::atomic<bool>>(false);
  {
    HostResolver resolver(Options());
    resolver.Resolve("a.example", loop_, [told](HostResolver::Result) { *told = true; });
  }
  EXPECT_EQ(told.use_count(), 1);  // the callback is gone, and what it held with it
  Open();
}

TEST(SystemLookup, KnowsNumbersAndSaysWhatItDoesNotKnow) {
  const auto found = SystemLookup("192.0.2.7");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, std::vector<IpAddress>{kAddress});
  const auto missing = SystemLookup("no such name");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(MessageOf(missing.status()).find("no such name"), std::string::npos);
}

}  // namespace
}  // namespace mesh::net
