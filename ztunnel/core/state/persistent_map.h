// A map whose copies share structure: copying costs nothing, one change costs the path from the
// root to its leaf (a few nodes of at most 32 entries), whatever the size.
//
// A hash array mapped trie, values beside children in each node. Nodes are stamped with the edit
// that made them: within one edit they are changed in place, so that loading a whole mesh does not
// copy; a node of an earlier edit may be seen by readers and is copied first. Freeze() ends an
// edit: copies taken after it, and before the next change, never change. Readers of such copies
// need no lock.
//
// V is cheap to copy (shared_ptr) and carries its key. Traits: `static uint64_t Hash(const V&)`,
// `static bool Same(const V&, const Key&)`, `Hash(const Key&)` for each key type looked up.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace mesh::state {

template <typename V, typename Traits>
class PersistentMap {
 public:
  size_t size() const { return size_; }
  void Freeze() { ++edit_; }

  template <typename Key>
  const V* Find(const Key& key) const {
    const uint64_t hash = Traits::Hash(key);
    const Node* node = root_.get();
    for (int shift = 0; node != nullptr; shift += kBits) {
      if (shift > kLastShift) return FindInBucket(node->values, key);
      const uint32_t bit = Bit(hash, shift);
      if (node->value_map & bit) {
        const V& value = node->values[Rank(node->value_map, bit)];
        return Traits::Same(value, key) ? &value : nullptr;
      }
      if (!(node->child_map & bit)) return nullptr;
      node = node->children[Rank(node->child_map, bit)].get();
    }
    return nullptr;
  }

  // Adds, or replaces what has the same key.
  template <typename Key>
  void Put(const Key& key, V value) {
    size_ += PutAt(root_, 0, Traits::Hash(key), key, std::move(value)) ? 1 : 0;
  }

  template <typename Key>
  bool Erase(const Key& key) {
    if (!root_ || Find(key) == nullptr) return false;
    EraseAt(root_, 0, Traits::Hash(key), key);
    --size_;
    return true;
  }

  template <typename Fn>
  void ForEach(Fn&& fn) const {
    if (root_) Visit(*root_, fn);
  }

 private:
  static constexpr int kBits = 5;
  static constexpr int kLastShift = 60;  // below it, equal hashes share a bucket

  struct Node {
    uint64_t edit = 0;
    uint32_t value_map = 0;
    uint32_t child_map = 0;
    std::vector<V> values;
    std::vector<std::shared_ptr<Node>> children;
  };
  using NodeRef = std::shared_ptr<Node>;

  static uint32_t Bit(uint64_t hash, int shift) { return uint32_t{1} << ((hash >> shift) & 31); }
  static size_t Rank(uint32_t map, uint32_t bit) {
    return static_cast<size_t>(std::popcount(map & (bit - 1)));
  }

  template <typename Key>
  static const V* FindInBucket(const std::vector<V>& bucket, const Key& key) {
    for (const V& value : bucket) {
      if (Traits::Same(value, key)) return &value;
    }
    return nullptr;
  }

  // Makes `ref` a node of this edit.
  Node& Own(NodeRef& ref) {
    if (!ref) {
      ref = std::make_shared<Node>();
      ref->edit = edit_;
    } else if (ref->edit != edit_) {
      ref = std::make_shared<Node>(*ref);
      ref->edit = edit_;
    }
    return *ref;
  }

  template <typename Key>
  bool PutAt(NodeRef& ref, int shift, uint64_t hash, const Key& key, V value) {
    Node& node = Own(ref);
    if (shift > kLastShift) {
      for (V& old : node.values) {
        if (Traits::Same(old, key)) {
          old = std::move(value);
          return false;
        }
      }
      node.values.push_back(std::move(value));
      return true;
    }
    const uint32_t bit = Bit(hash, shift);
    if (node.child_map & bit) {
      NodeRef& child = node.children[Rank(node.child_map, bit)];
      return PutAt(child, shift + kBits, hash, key, std::move(value));
    }
    const size_t at = Rank(node.value_map, bit);
    if (!(node.value_map & bit)) {
      node.values.insert(node.values.begin() + at, std::move(value));
      node.value_map |= bit;
      return true;
    }
    if (Traits::Same(node.values[at], key)) {
      node.values[at] = std::move(value);
      return false;
    }
    // Two keys share the place: both go one level down.
    NodeRef child;
    V other = std::move(node.values[at]);
    node.values.erase(node.values.begin() + at);
    node.value_map &= ~bit;
    PutHashed(child, shift + kBits, Traits::Hash(other), std::move(other));
    PutAt(child, shift + kBits, hash, key, std::move(value));
    node.children.insert(node.children.begin() + Rank(node.child_map, bit), std::move(child));
    node.child_map |= bit;
    return true;
  }

  // Into an empty subtree.
  void PutHashed(NodeRef& ref, int shift, uint64_t hash, V value) {
    Node& node = Own(ref);
    node.values.push_back(std::move(value));
    if (shift <= kLastShift) node.value_map = Bit(hash, shift);
  }

  template <typename Key>
  void EraseAt(NodeRef& ref, int shift, uint64_t hash, const Key& key) {
    Node& node = Own(ref);
    if (shift > kLastShift) {
      std::erase_if(node.values, [&](const V& v) { return Traits::Same(v, key); });
      return;
    }
    const uint32_t bit = Bit(hash, shift);
    if (node.value_map & bit) {
      node.values.erase(node.values.begin() + Rank(node.value_map, bit));
      node.value_map &= ~bit;
      return;
    }
    const size_t at = Rank(node.child_map, bit);
    EraseAt(node.children[at], shift + kBits, hash, key);
    const Node& child = *node.children[at];
    if (child.values.empty() && child.children.empty()) {
      node.children.erase(node.children.begin() + at);
      node.child_map &= ~bit;
    }
  }

  template <typename Fn>
  static void Visit(const Node& node, Fn& fn) {
    for (const V& value : node.values) fn(value);
    for (const NodeRef& child : node.children) Visit(*child, fn);
  }

  NodeRef root_;
  size_t size_ = 0;
  uint64_t edit_ = 1;
};

}  // namespace mesh::state
