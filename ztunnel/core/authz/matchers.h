// Sets that a match compares one attribute with. Each answers in the logarithm of its size,
// whatever the number of values. Immutable after Compile; an empty set means "no constraint" to its
// user.
#pragma once

#include <absl/container/flat_hash_set.h>
#include <absl/status/statusor.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ztunnel/base/ip.h"

namespace mesh::authz {

// Distinct prefix lengths of one family each, longest first.
struct PrefixLengths {
  std::vector<uint8_t> v4, v6;
  void Add(const IpPrefix& prefix);
  const std::vector<uint8_t>& Of(const IpAddress& ip) const { return ip.IsV4() ? v4 : v6; }
};

class StringMatcher {
 public:
  void AddExact(std::string value) { exact_.push_back(std::move(value)); }
  void AddPrefix(std::string value) { prefixes_.push_back(std::move(value)); }
  void AddSuffix(std::string value) { suffixes_.push_back(std::move(value)); }
  void AddPresence() { presence_ = true; }
  void Finish();  // after the last Add

  bool empty() const;
  bool Matches(std::string_view value) const;
  // The values, when all are exact.
  bool OnlyExact() const {
    return !exact_.empty() && prefixes_.empty() && suffixes_.empty() && !presence_;
  }
  const std::vector<std::string>& exact() const { return exact_; }

 private:
  std::vector<std::string> exact_, prefixes_, suffixes_;  // sorted
  std::vector<size_t> prefix_sizes_, suffix_sizes_;       // distinct
  bool presence_ = false;
};

class CidrMatcher {
 public:
  void Add(const IpPrefix& masked);
  bool empty() const { return prefixes_.empty(); }
  bool Matches(const IpAddress& ip) const;
  const std::vector<IpPrefix>& prefixes() const { return prefixes_; }

 private:
  std::vector<IpPrefix> prefixes_;
  PrefixLengths lengths_;
  absl::flat_hash_set<std::pair<IpAddress, uint8_t>> set_;
};

// Values of a plain ordered type: ports, (namespace, account) pairs.
template <typename T>
class ValueMatcher {
 public:
  void Add(T value) { values_.push_back(std::move(value)); }
  void Finish() { std::sort(values_.begin(), values_.end()); }
  bool empty() const { return values_.empty(); }
  template <typename U>
  bool Matches(const U& value) const {
    return std::binary_search(values_.begin(), values_.end(), value);
  }
  const std::vector<T>& values() const { return values_; }

 private:
  std::vector<T> values_;
};

}  // namespace mesh::authz
