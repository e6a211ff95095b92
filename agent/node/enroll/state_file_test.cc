#include "agent/node/enroll/state_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace mesh::node {
namespace {

SavedPod Client() {
  return {.uid = "u-1",
          .name = "client",
          .ns = "shop",
          .service_account = "sa",
          .netns_path = "/run/netns/x",
          .cookie = 0xfedcba9876543210,
          .ips = {*IpAddress::Parse("10.244.1.2"), *IpAddress::Parse("fd00::2")}};
}

TEST(StateFile, KeepsEveryFieldAndAll64BitsOfTheCookie) {
  const auto pods = ParseState(FormatState({Client()}));
  ASSERT_TRUE(pods.ok()) << pods.status();
  EXPECT_EQ(*pods, std::vector<SavedPod>{Client()});
}

TEST(StateFile, RefusesWhatItDidNotWrite) {
  for (const char* text : {"", "{}", R"({"pods":[{"uid":"u"}]})",
                           R"({"pods":[{"uid":"u","netns":"/n","cookie":"x"}]})"}) {
    EXPECT_FALSE(ParseState(text).ok()) << text;
  }
}

TEST(StateFile, AnAbsentFileIsNotAnEmptyOneAndSavingLeavesNoOtherFile) {
  char dir[] = "/tmp/mesh-state-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const std::string path = std::string(dir) + "/pods.json";
  EXPECT_TRUE(absl::IsNotFound(LoadState(path).status()));
  ASSERT_TRUE(SaveState(path, {}).ok());
  const auto none = LoadState(path);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->empty());
  ASSERT_TRUE(SaveState(path, {Client()}).ok());
  EXPECT_EQ(LoadState(path)->size(), 1u);
  ::unlink(path.c_str());
  EXPECT_EQ(::rmdir(dir), 0);
}

}  // namespace
}  // namespace mesh::node
