// A map whose copies share structure: copying costs nothing, one change costs the path from the
// root to its leaf (a few nodes of at most 32 entries), whatever the size.
//
// A hash array mapped trie, values beside children in each node, a node in one piece of memory
// that is exactly as large as what it holds. Nodes are stamped with the edit that made them:
// within one edit they are changed in place, so that loading a whole mesh does not copy paths; a
// node of an earlier edit may be seen by readers and is copied first. Freeze() ends an edit: copies
// taken after it, and before the next change, never change. Readers of such copies need no lock.
//
// V is cheap to copy (shared_ptr) and carries its key. Traits: `static uint64_t Hash(const V&)`,
// `static bool Same(const V&, const Key&)`, `Hash(const Key&)` for each key type looked up.
#pragma once

#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

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
      if (shift > kLastShift) return FindInBucket(*node, key);
      const uint32_t bit = Bit(hash, shift);
      if (node->value_map & bit) {
        const V& value = node->values()[Rank(node->value_map, bit)];
        return Traits::Same(value, key) ? &value : nullptr;
      }
      if (!(node->child_map & bit)) return nullptr;
      node = node->children()[Rank(node->child_map, bit)].get();
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

  struct Node;

  class NodeRef {
   public:
    NodeRef() = default;
    explicit NodeRef(Node* node) : node_(node) {}
    NodeRef(const NodeRef& other) : node_(other.node_) {
      if (node_ != nullptr) node_->references.fetch_add(1, std::memory_order_relaxed);
    }
    NodeRef(NodeRef&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    NodeRef& operator=(NodeRef other) noexcept {
      std::swap(node_, other.node_);
      return *this;
    }
    ~NodeRef() {
      if (node_ == nullptr || node_->references.fetch_sub(1, std::memory_order_acq_rel) != 1)
        return;
      Node::Free(node_);
    }
    Node* get() const { return node_; }
    Node& operator*() const { return *node_; }
    Node* operator->() const { return node_; }
    explicit operator bool() const { return node_ != nullptr; }

   private:
    Node* node_ = nullptr;
  };

  // Followed in memory by its children, then its values.
  struct Node {
    std::atomic<uint32_t> references{1};
    uint32_t value_map = 0;
    uint32_t child_map = 0;
    uint32_t value_count = 0;  // of a bucket, whose value_map says nothing
    uint64_t edit = 0;

    size_t child_count() const { return static_cast<size_t>(std::popcount(child_map)); }
    NodeRef* children() { return reinterpret_cast<NodeRef*>(this + 1); }
    const NodeRef* children() const { return reinterpret_cast<const NodeRef*>(this + 1); }
    V* values() { return reinterpret_cast<V*>(children() + child_count()); }
    const V* values() const { return reinterpret_cast<const V*>(children() + child_count()); }

    static void Free(Node* node) {
      std::destroy_n(node->children(), node->child_count());
      std::destroy_n(node->values(), node->value_count);
      node->~Node();
      ::operator delete(node);
    }
  };
  static_assert(alignof(V) <= alignof(Node) && sizeof(Node) % alignof(V) == 0);

  // What a node holds, while it is being changed in size.
  struct Draft {
    uint32_t value_map = 0;
    uint32_t child_map = 0;
    absl::InlinedVector<V, 32> values;
    absl::InlinedVector<NodeRef, 32> children;
  };

  static uint32_t Bit(uint64_t hash, int shift) { return uint32_t{1} << ((hash >> shift) & 31); }
  static size_t Rank(uint32_t map, uint32_t bit) {
    return static_cast<size_t>(std::popcount(map & (bit - 1)));
  }

  template <typename Key>
  static const V* FindInBucket(const Node& bucket, const Key& key) {
    for (uint32_t i = 0; i < bucket.value_count; ++i) {
      if (Traits::Same(bucket.values()[i], key)) return &bucket.values()[i];
    }
    return nullptr;
  }

  // What `ref` holds: moved out of a node of this edit, which nobody else sees, else copied.
  Draft Open(NodeRef& ref) const {
    Draft draft;
    if (!ref) return draft;
    Node& node = *ref;
    draft.value_map = node.value_map;
    draft.child_map = node.child_map;
    NodeRef* children = node.children();
    V* values = node.values();
    if (node.edit == edit_) {
      draft.children.assign(std::move_iterator(children),
                            std::move_iterator(children + node.child_count()));
      draft.values.assign(std::move_iterator(values),
                          std::move_iterator(values + node.value_count));
    } else {
      draft.children.assign(children, children + node.child_count());
      draft.values.assign(values, values + node.value_count);
    }
    return draft;
  }

  NodeRef Pack(Draft draft) const {
    void* memory = ::operator new(sizeof(Node) + draft.children.size() * sizeof(NodeRef) +
                                  draft.values.size() * sizeof(V));
    Node* node = new (memory) Node;
    node->edit = edit_;
    node->value_map = draft.value_map;
    node->child_map = draft.child_map;
    node->value_count = static_cast<uint32_t>(draft.values.size());
    std::uninitialized_move(draft.children.begin(), draft.children.end(), node->children());
    std::uninitialized_move(draft.values.begin(), draft.values.end(), node->values());
    return NodeRef(node);
  }

  // Makes `ref` a node of this edit, of the same size.
  Node& Own(NodeRef& ref) {
    if (!ref || ref->edit != edit_) ref = Pack(Open(ref));
    return *ref;
  }

  template <typename Key>
  bool PutAt(NodeRef& ref, int shift, uint64_t hash, const Key& key, V value) {
    if (shift > kLastShift) return PutInBucket(ref, key, std::move(value));
    const uint32_t bit = Bit(hash, shift);
    if (ref && (ref->child_map & bit)) {
      NodeRef& child = Own(ref).children()[Rank(ref->child_map, bit)];
      return PutAt(child, shift + kBits, hash, key, std::move(value));
    }
    const size_t at = ref ? Rank(ref->value_map, bit) : 0;
    const bool taken = ref && (ref->value_map & bit);
    if (taken && Traits::Same(ref->values()[at], key)) {
      Own(ref).values()[at] = std::move(value);
      return false;
    }
    Draft draft = Open(ref);
    if (!taken) {
      draft.values.insert(draft.values.begin() + at, std::move(value));
      draft.value_map |= bit;
    } else {
      // Two keys share the place: both go one level down.
      NodeRef child;
      V other = std::move(draft.values[at]);
      draft.values.erase(draft.values.begin() + at);
      draft.value_map &= ~bit;
      PutHashed(child, shift + kBits, Traits::Hash(other), std::move(other));
      PutAt(child, shift + kBits, hash, key, std::move(value));
      draft.children.insert(draft.children.begin() + Rank(draft.child_map, bit), std::move(child));
      draft.child_map |= bit;
    }
    ref = Pack(std::move(draft));
    return true;
  }

  template <typename Key>
  bool PutInBucket(NodeRef& ref, const Key& key, V value) {
    Draft draft = Open(ref);
    bool added = true;
    for (V& old : draft.values) {
      if (!Traits::Same(old, key)) continue;
      old = std::move(value);
      added = false;
      break;
    }
    if (added) draft.values.push_back(std::move(value));
    ref = Pack(std::move(draft));
    return added;
  }

  // Into an empty subtree.
  void PutHashed(NodeRef& ref, int shift, uint64_t hash, V value) {
    Draft draft;
    draft.values.push_back(std::move(value));
    if (shift <= kLastShift) draft.value_map = Bit(hash, shift);
    ref = Pack(std::move(draft));
  }

  // `key` is there.
  template <typename Key>
  void EraseAt(NodeRef& ref, int shift, uint64_t hash, const Key& key) {
    if (shift > kLastShift) {
      Draft draft = Open(ref);
      const auto at = std::find_if(draft.values.begin(), draft.values.end(),
                                   [&](const V& v) { return Traits::Same(v, key); });
      draft.values.erase(at);
      ref = Pack(std::move(draft));
      return;
    }
    const uint32_t bit = Bit(hash, shift);
    if (ref->value_map & bit) {
      Draft draft = Open(ref);
      draft.values.erase(draft.values.begin() + Rank(draft.value_map, bit));
      draft.value_map &= ~bit;
      ref = Pack(std::move(draft));
      return;
    }
    const size_t at = Rank(ref->child_map, bit);
    NodeRef& child = Own(ref).children()[at];
    EraseAt(child, shift + kBits, hash, key);
    if (child->value_count > 0 || child->child_map != 0) return;
    Draft draft = Open(ref);
    draft.children.erase(draft.children.begin() + at);
    draft.child_map &= ~bit;
    ref = Pack(std::move(draft));
  }

  template <typename Fn>
  static void Visit(const Node& node, Fn& fn) {
    for (uint32_t i = 0; i < node.value_count; ++i) fn(node.values()[i]);
    for (size_t i = 0; i < node.child_count(); ++i) Visit(*node.children()[i], fn);
  }

  NodeRef root_;
  size_t size_ = 0;
  uint64_t edit_ = 1;
};

}  // namespace mesh::state
