#include "ztunnel/base/netns.h"

#include <gtest/gtest.h>

namespace mesh {
namespace {

TEST(Netns, MissingPathIsNotFoundAndNamed) {
  const auto netns = Netns::Open("/run/netns/no-such-namespace");
  ASSERT_FALSE(netns.ok());
  EXPECT_EQ(netns.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(netns.status().ToString().find("no-such-namespace"), std::string::npos);
}

TEST(Netns, CurrentHasAnInode) {
  const auto netns = Netns::Current();
  ASSERT_TRUE(netns.ok());
  EXPECT_GT(*netns->Inode(), 0u);
}

}  // namespace
}  // namespace mesh
