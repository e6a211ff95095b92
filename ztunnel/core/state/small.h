// Small holders for values of which there are very many: most have one element, or none.
#pragma once

#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace mesh::state {

// A sorted map in one row; up to N elements lie in the object itself.
template <typename K, typename V, size_t N>
class SmallMap {
 public:
  using value_type = std::pair<K, V>;
  using Row = absl::InlinedVector<value_type, N>;
  using const_iterator = typename Row::const_iterator;

  SmallMap() = default;
  SmallMap(std::initializer_list<value_type> items) {
    for (const auto& [key, value] : items) (*this)[key] = value;
  }

  const_iterator begin() const { return row_.begin(); }
  const_iterator end() const { return row_.end(); }
  size_t size() const { return row_.size(); }
  bool empty() const { return row_.empty(); }

  template <typename Key>
  const_iterator find(const Key& key) const {
    const const_iterator at = LowerBound(row_, key);
    return at != row_.end() && at->first == key ? at : row_.end();
  }
  template <typename Key>
  bool contains(const Key& key) const {
    return find(key) != end();
  }
  V& operator[](const K& key) {
    const auto at = LowerBound(row_, key);
    if (at != row_.end() && at->first == key) return at->second;
    return row_.insert(at, value_type(key, V()))->second;
  }
  bool operator==(const SmallMap&) const = default;

 private:
  template <typename R, typename Key>
  static auto LowerBound(R& row, const Key& key) {
    return std::lower_bound(row.begin(), row.end(), key,
                            [](const value_type& item, const Key& k) { return item.first < k; });
  }
  Row row_;
};

// As std::optional<T>, for what is rarely there: a pointer while it is not.
template <typename T>
class Boxed {
 public:
  Boxed() = default;
  Boxed(T value) : value_(std::make_unique<T>(std::move(value))) {}
  Boxed(const Boxed& other) : value_(other ? std::make_unique<T>(*other) : nullptr) {}
  Boxed(Boxed&&) noexcept = default;
  Boxed& operator=(Boxed other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }

  bool has_value() const { return value_ != nullptr; }
  explicit operator bool() const { return has_value(); }
  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  T& operator*() { return *value_; }
  T* operator->() { return value_.get(); }
  void reset() { value_.reset(); }
  friend bool operator==(const Boxed& a, const Boxed& b) {
    return a.has_value() == b.has_value() && (!a || *a == *b);
  }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace mesh::state
