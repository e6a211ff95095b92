#include "ztunnel/core/identity/identity.h"

#include <gtest/gtest.h>

namespace mesh::identity {
namespace {

TEST(Identity, ReadsAndWritesTheUri) {
  const auto id = Identity::Parse("spiffe://cluster.local/ns/shop/sa/reviews");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, (Identity{"cluster.local", "shop", "reviews"}));
  EXPECT_EQ(id->ToString(), "spiffe://cluster.local/ns/shop/sa/reviews");
  EXPECT_EQ(id->Principal(), "cluster.local/ns/shop/sa/reviews");
}

TEST(Identity, RefusesAnythingButFiveNonEmptyParts) {
  for (const char* bad :
       {"", "spiffe://", "cluster.local/ns/a/sa/b", "SPIFFE://td/ns/a/sa/b", "https://td/ns/a/sa/b",
        "spiffe://td/ns/a/sa", "spiffe://td/ns/a/sa/", "spiffe://td/ns//sa/b",
        "spiffe:///ns/a/sa/b", "spiffe://td/ns/a/sa/b/", "spiffe://td/ns/a/sa/b/c",
        "spiffe://td/sa/a/ns/b", "spiffe://td/NS/a/sa/b", "spiffe://td/ns/a b/sa/c",
        "spiffe://td/ns/a\n/sa/b"}) {
    const auto id = Identity::Parse(bad);
    EXPECT_FALSE(id.ok()) << bad;
    EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(Identity::Parse("spiffe://td/ns/a/sa/" + std::string(3000, 'x')).ok());
}

TEST(Identity, ErrorQuotesWhatItCouldNotRead) {
  const auto id = Identity::Parse("spiffe://td/ns/\"x/sa");
  EXPECT_NE(id.status().ToString().find(R"(spiffe://td/ns/\"x/sa)"), std::string::npos);
}

}  // namespace
}  // namespace mesh::identity
