#include "ztunnel/core/net/budget.h"

#include <gtest/gtest.h>

namespace mesh::net {
namespace {

TEST(Budget, OverItsLimitWhoHoldsAShareOrMoreWaits) {
  std::atomic<uint64_t> held{0}, pauses{0};
  Budget budget;
  budget.SetLimit(100);
  budget.Mirror(held, pauses);
  Budget::Hold greedy, modest, nothing;
  for (Budget::Hold* hold : {&greedy, &modest, &nothing}) hold->Join(budget);
  greedy.Set(80);
  modest.Set(20);
  EXPECT_FALSE(greedy.Full()) << "at the limit";
  modest.Set(30);
  EXPECT_TRUE(budget.Over());
  EXPECT_TRUE(greedy.Full());
  EXPECT_FALSE(modest.Full());
  EXPECT_FALSE(nothing.Full());
  EXPECT_EQ(held, 110u);
  greedy.Set(0);
  EXPECT_FALSE(budget.Over());
  {
    Budget::Hold late;
    late.Join(budget);
    late.Set(1000);
    EXPECT_TRUE(late.Full());
    EXPECT_EQ(budget.holders(), 2u);
  }
  EXPECT_EQ(held, 30u);
  EXPECT_EQ(budget.holders(), 1u);
}

TEST(Budget, NobodyWaitsWhereNobodyCounts) {
  Budget::Hold hold;
  hold.Set(SIZE_MAX);
  EXPECT_FALSE(hold.Full());
}

}  // namespace
}  // namespace mesh::net
