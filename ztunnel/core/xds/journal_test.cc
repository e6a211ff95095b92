#include "ztunnel/core/xds/journal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace mesh::xds {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  ~JournalTest() override {
    std::filesystem::remove(path_);
    std::filesystem::remove(path_ + ".new");
  }
  static Response Put(const std::string& name, const std::string& version, size_t bytes = 10) {
    Response out;
    out.set_type_url(std::string(kAddressType));
    auto* r = out.add_resources();
    r->set_name(name);
    r->set_version(version);
    r->mutable_resource()->set_value(std::string(bytes, 'x'));
    return out;
  }
  static Response Gone(const std::string& name) {
    Response out;
    out.set_type_url(std::string(kAddressType));
    out.add_removed_resources(name);
    return out;
  }
  std::map<std::string, std::string> Stored() {
    Journal journal(path_);
    const auto content = journal.Load();
    std::map<std::string, std::string> out;
    if (!content.ok()) return {{"error", content.status().ToString()}};
    for (const Response& response : *content) {
      for (const Resource& r : response.resources()) out[r.name()] = r.version();
    }
    return out;
  }
  using Content = std::map<std::string, std::string>;
  const std::string path_ = testing::TempDir() + "/journal-" + std::to_string(::getpid());
};

TEST_F(JournalTest, GivesBackTheLastWordOnEachName) {
  Journal journal(path_);
  ASSERT_TRUE(journal.Begin().ok());
  ASSERT_TRUE(journal.Append(Put("a", "1")).ok());
  EXPECT_FALSE(std::filesystem::exists(path_));  // not before it is whole
  ASSERT_TRUE(journal.Append(Put("b", "1")).ok());
  ASSERT_TRUE(journal.Commit().ok());
  ASSERT_TRUE(journal.Append(Put("a", "2")).ok());
  ASSERT_TRUE(journal.Append(Gone("b")).ok());
  EXPECT_EQ(Stored(), (Content{{"a", "2"}}));
  EXPECT_EQ(std::filesystem::status(path_).permissions() & std::filesystem::perms::others_all,
            std::filesystem::perms::none);
}

TEST_F(JournalTest, GoesOnWhereItWasLoaded) {
  Journal first(path_);
  ASSERT_TRUE(first.Begin().ok() && first.Append(Put("a", "1")).ok() && first.Commit().ok());
  Journal second(path_);
  ASSERT_TRUE(second.Load().ok());
  ASSERT_TRUE(second.Append(Put("b", "1")).ok());
  EXPECT_EQ(Stored(), (Content{{"a", "1"}, {"b", "1"}}));
}

TEST_F(JournalTest, CutsOffATornTail) {
  Journal journal(path_);
  ASSERT_TRUE(journal.Begin().ok() && journal.Append(Put("a", "1")).ok() && journal.Commit().ok());
  const auto size = std::filesystem::file_size(path_);
  ASSERT_TRUE(journal.Append(Put("b", "1")).ok());
  for (const auto cut : {std::filesystem::file_size(path_) - 1, size + 3}) {
    std::filesystem::resize_file(path_, cut);
    EXPECT_EQ(Stored(), (Content{{"a", "1"}}));
  }
}

TEST_F(JournalTest, WhatIsNotWholeIsNoCopy) {
  Journal journal(path_);
  ASSERT_TRUE(journal.Begin().ok() && journal.Append(Put("a", "1")).ok());
  const auto before = std::filesystem::file_size(path_ + ".new");
  ASSERT_TRUE(journal.Append(Put("b", "1")).ok() && journal.Commit().ok());
  const auto whole = std::filesystem::file_size(path_);
  // Cut within the mark, within a response, and between two of them.
  for (const auto cut : {whole - 1, before + 3, before}) {
    std::filesystem::resize_file(path_, cut);
    Journal again(path_);
    EXPECT_EQ(again.Load().status().code(), absl::StatusCode::kInvalidArgument) << cut;
  }
}

TEST_F(JournalTest, RefusesAFileOfAnotherKind) {
  Journal journal(path_);
  EXPECT_FALSE(journal.Load().ok());
  std::ofstream(path_) << "something else";
  EXPECT_FALSE(journal.Load().ok());
}

TEST_F(JournalTest, IsWrittenAnewWhenItHasGrown) {
  Journal journal(path_);
  ASSERT_TRUE(journal.Begin().ok() && journal.Commit().ok());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(journal.Append(Put("a", std::to_string(i), 100'000)).ok());
    // What was appended while the rewrite went on is carried over.
    if (i % 10 == 9) ASSERT_TRUE(journal.FinishRewrite().ok());
  }
  EXPECT_LT(std::filesystem::file_size(path_), 6u << 20);
  EXPECT_EQ(Stored(), (Content{{"a", "99"}}));
}

TEST_F(JournalTest, WhatTheDiskDoesNotTakeLeavesTheCopyThatIsThere) {
  Journal journal(path_);
  ASSERT_TRUE(journal.Begin().ok() && journal.Append(Put("a", "1")).ok() && journal.Commit().ok());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{std::filesystem::file_size(path_) + 100, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  const absl::Status status = journal.Append(Put("b", "1", 1000));
  Journal next(path_);
  const auto loaded = next.Load();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(status.ok());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(Stored(), (Content{{"a", "1"}}));
}

TEST_F(JournalTest, ACopyThatIsNotWholeCountsForTheTypesThatItHas) {
  Journal first(path_);
  Response policy = Put("p", "1");
  policy.set_type_url(std::string(kAuthorizationType));
  ASSERT_TRUE(first.Begin().ok() && first.Append(Put("a", "1")).ok() && first.Append(policy).ok() &&
              first.Commit().ok());
  Journal second(path_);
  policy.mutable_resources(0)->set_name("q");
  ASSERT_TRUE(second.Begin().ok() && second.Append(policy).ok());
  ASSERT_TRUE(second.Load().ok());
  ASSERT_TRUE(second.Append(Put("b", "1")).ok());  // goes on in the copy that is whole now
  EXPECT_EQ(Stored(), (Content{{"a", "1"}, {"b", "1"}, {"q", "1"}}));
}

TEST_F(JournalTest, StopsAtItsLimitAndKeepsWhatItHas) {
  Journal journal(path_, 1'000'000);
  ASSERT_TRUE(journal.Begin().ok() && journal.Commit().ok());
  absl::Status status;
  for (int i = 0; i < 20 && status.ok(); ++i) {
    status = journal.Append(Put(std::to_string(i), "1", 100'000));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  const size_t kept = Stored().size();
  EXPECT_GE(kept, 9u);
  EXPECT_TRUE(journal.Append(Put("z", "1")).ok());  // silently nothing
  EXPECT_EQ(Stored().size(), kept);
}

}  // namespace
}  // namespace mesh::xds
