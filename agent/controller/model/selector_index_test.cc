#include "agent/controller/model/selector_index.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace mesh::controller {
namespace {

using Names = std::vector<std::string>;

k8s::Labels Make(std::initializer_list<std::pair<const char*, std::string>> labels) {
  k8s::Labels made;
  for (const auto& [key, value] : labels) made[key] = value;
  return made;
}

TEST(SelectorIndex, FindsWhatSelectsInItsNamespaceAlone) {
  SelectorIndex index;
  index.Set("a", "web", Make({{"app", "web"}}));
  index.Set("a", "web-v1", Make({{"app", "web"}, {"version", "v1"}}));
  index.Set("a", "all", Make({}));
  index.Set("b", "web", Make({{"app", "web"}}));
  const k8s::Labels v1 = Make({{"app", "web"}, {"version", "v1"}, {"other", "x"}});
  EXPECT_EQ(index.Matching("a", v1), (Names{"web", "web-v1"}));
  EXPECT_EQ(index.Matching("a", Make({{"app", "web"}, {"version", "v2"}})), Names{"web"});
  EXPECT_EQ(index.Matching("a", Make({{"version", "v1"}})), Names{});
  EXPECT_EQ(index.Matching("b", v1), Names{"web"});
  EXPECT_EQ(index.Matching("c", v1), Names{});
  EXPECT_EQ(index.Matching("a", {}), Names{}) << "an empty selector selects nothing";
}

TEST(SelectorIndex, FollowsChanges) {
  SelectorIndex index;
  index.Set("a", "s", Make({{"app", "web"}}));
  index.Set("a", "s", Make({{"app", "api"}}));
  EXPECT_EQ(index.Matching("a", Make({{"app", "web"}})), Names{});
  EXPECT_EQ(index.Matching("a", Make({{"app", "api"}})), Names{"s"});
  index.Set("a", "s", Make({}));
  EXPECT_EQ(index.Matching("a", Make({{"app", "api"}})), Names{});
  index.Set("a", "s", Make({{"app", "api"}}));
  index.Erase("a", "s");
  index.Erase("a", "s");
  EXPECT_EQ(index.Matching("a", Make({{"app", "api"}})), Names{});
}

TEST(SelectorIndex, ALookupAmongManyComparesFew) {
  SelectorIndex index;
  for (int i = 0; i < 10'000; ++i) {
    // A label that all share is not what they are found by.
    index.Set("a", fmt::format("s{}", i), Make({{"app", fmt::format("app{}", i)}, {"tier", "x"}}));
  }
  EXPECT_EQ(index.Matching("a", Make({{"app", "app77"}, {"tier", "x"}})), Names{"s77"});
  EXPECT_LE(index.compared(), 2u);
}

}  // namespace
}  // namespace mesh::controller
