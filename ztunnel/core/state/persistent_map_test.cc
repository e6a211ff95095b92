#include "ztunnel/core/state/persistent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace mesh::state {
namespace {

struct Item {
  int key;
  int value;
};
// Few distinct hashes, so that every depth and the buckets below the last level are visited.
struct Colliding {
  static uint64_t Hash(int key) { return static_cast<uint64_t>(key % 7) << 61 | (key % 3); }
  static uint64_t Hash(const Item& item) { return Hash(item.key); }
  static bool Same(const Item& item, int key) { return item.key == key; }
};
struct Spread {
  static uint64_t Hash(int key) { return static_cast<uint64_t>(key) * 0x9e3779b97f4a7c15u; }
  static uint64_t Hash(const Item& item) { return Hash(item.key); }
  static bool Same(const Item& item, int key) { return item.key == key; }
};

template <typename Traits>
std::map<int, int> Contents(const PersistentMap<Item, Traits>& map) {
  std::map<int, int> out;
  map.ForEach([&](const Item& item) { out[item.key] = item.value; });
  return out;
}

template <typename Traits>
void AgreesWithStdMap(uint32_t seed, int keys) {
  std::mt19937 random(seed);
  PersistentMap<Item, Traits> map;
  std::map<int, int> model;
  std::vector<std::pair<PersistentMap<Item, Traits>, std::map<int, int>>> snapshots;
  for (int step = 0; step < 5000; ++step) {
    const int key = static_cast<int>(random() % keys);
    if (random() % 3 == 0) {
      ASSERT_EQ(map.Erase(key), model.erase(key) == 1);
    } else {
      map.Put(key, Item{key, step});
      model[key] = step;
    }
    ASSERT_EQ(map.size(), model.size());
    if (step % 500 == 0) {
      snapshots.emplace_back(map, model);
      map.Freeze();
    }
  }
  for (int key = 0; key < keys; ++key) {
    const Item* found = map.Find(key);
    ASSERT_EQ(found != nullptr, model.contains(key));
    if (found) EXPECT_EQ(found->value, model[key]);
  }
  EXPECT_EQ(Contents(map), model);
  for (const auto& [snapshot, then] : snapshots) EXPECT_EQ(Contents(snapshot), then);
}

TEST(PersistentMap, AgreesWithStdMapAndSnapshotsStay) { AgreesWithStdMap<Spread>(1, 700); }
TEST(PersistentMap, KeepsKeysWhoseHashesCollide) { AgreesWithStdMap<Colliding>(2, 60); }

}  // namespace
}  // namespace mesh::state
