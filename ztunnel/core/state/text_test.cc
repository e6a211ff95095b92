#include "ztunnel/core/state/text.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "ztunnel/core/state/small.h"

namespace mesh::state {
namespace {

TEST(Text, ReadsAsTheCharactersItWasMadeOf) {
  const Text text("istio-system");
  const Text copy = text;
  EXPECT_EQ(copy, "istio-system");
  EXPECT_EQ(copy.size(), 12u);
  EXPECT_FALSE(text.Unshared());
  EXPECT_TRUE(Text("").empty());
  EXPECT_EQ(Text(), Text(""));
  EXPECT_LT(Text("a"), Text("b"));
}

TEST(Text, ATailSharesWhatItIsTheEndOf) {
  const Text uid("Kubernetes//Pod/shop/reviews-v1");
  const TextTail name(uid, "reviews-v1");
  EXPECT_EQ(name, "reviews-v1");
  EXPECT_EQ(name.view().data() + name.view().size(), uid.view().data() + uid.view().size());
  EXPECT_EQ(TextTail(uid, "elsewhere"), "elsewhere");
}

TEST(TextPool, EqualTextsAreOne) {
  TextPool pool;
  const Text one = pool.Intern("default"), two = pool.Intern(std::string("default"));
  EXPECT_EQ(one.view().data(), two.view().data());
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_TRUE(pool.Intern("").empty());
}

TEST(TextPool, ForgetsWhatNobodyHolds) {
  TextPool pool;
  const Text kept = pool.Intern("kept");
  for (int i = 0; i < 100'000; ++i) pool.Intern(std::to_string(i));
  EXPECT_LE(pool.size(), 2048u);
  EXPECT_EQ(pool.Intern("kept").view().data(), kept.view().data());
}

TEST(Text, ThreadsMayShareTheCharacters) {
  const Text text("shared");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([copy = text]() mutable {
      for (int n = 0; n < 10'000; ++n) {
        Text other = copy;
        copy = std::move(other);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(text.Unshared());
}

TEST(SmallMap, IsSortedAndFindsByWhatComparesEqual) {
  SmallMap<Text, int, 1> map = {{Text("b"), 2}, {Text("a"), 1}};
  map[Text("c")] = 3;
  map[Text("a")] = 4;
  EXPECT_EQ(map.size(), 3u);
  EXPECT_EQ(map.begin()->first, "a");
  EXPECT_EQ(map.find(Text("a"))->second, 4);
  EXPECT_TRUE(map.contains(Text("c")));
  EXPECT_FALSE(map.contains(Text("d")));
}

TEST(Boxed, IsAValueThatMayBeAbsent) {
  Boxed<std::string> box;
  EXPECT_FALSE(box.has_value());
  box = std::string("x");
  const Boxed<std::string> copy = box;
  *box = "y";
  EXPECT_EQ(*copy, "x");
  EXPECT_NE(box, copy);
  box.reset();
  EXPECT_EQ(box, Boxed<std::string>());
}

}  // namespace
}  // namespace mesh::state
