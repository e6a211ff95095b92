#include "ztunnel/core/authz/matchers.h"

#include <algorithm>

namespace mesh::authz {
namespace {

// Below this many prefixes comparing them all is cheaper than hashing.
constexpr size_t kFewPrefixes = 8;

void SortUnique(std::vector<std::string>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

std::vector<size_t> Sizes(const std::vector<std::string>& values) {
  std::vector<size_t> out;
  for (const std::string& v : values) out.push_back(v.size());
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

bool Has(const std::vector<std::string>& sorted, std::string_view value) {
  return std::binary_search(sorted.begin(), sorted.end(), value, std::less<>());
}

}  // namespace

void PrefixLengths::Add(const IpPrefix& prefix) {
  std::vector<uint8_t>& lengths = prefix.address.IsV4() ? v4 : v6;
  const auto at = std::lower_bound(lengths.begin(), lengths.end(), prefix.length, std::greater<>());
  if (at == lengths.end() || *at != prefix.length) lengths.insert(at, prefix.length);
}

void StringMatcher::Finish() {
  SortUnique(exact_);
  SortUnique(prefixes_);
  SortUnique(suffixes_);
  prefix_sizes_ = Sizes(prefixes_);
  suffix_sizes_ = Sizes(suffixes_);
}

bool StringMatcher::empty() const {
  return exact_.empty() && prefixes_.empty() && suffixes_.empty() && !presence_;
}

bool StringMatcher::Matches(std::string_view value) const {
  if (presence_ && !value.empty()) return true;
  if (Has(exact_, value)) return true;
  for (const size_t size : prefix_sizes_) {
    if (size > value.size()) break;
    if (Has(prefixes_, value.substr(0, size))) return true;
  }
  for (const size_t size : suffix_sizes_) {
    if (size > value.size()) break;
    if (Has(suffixes_, value.substr(value.size() - size))) return true;
  }
  return false;
}

void CidrMatcher::Add(const IpPrefix& masked) {
  prefixes_.push_back(masked);
  lengths_.Add(masked);
  set_.emplace(masked.address, masked.length);
}

bool CidrMatcher::Matches(const IpAddress& ip) const {
  if (prefixes_.size() <= kFewPrefixes) {
    return std::any_of(prefixes_.begin(), prefixes_.end(),
                       [&](const IpPrefix& p) { return p.Contains(ip); });
  }
  for (const uint8_t length : lengths_.Of(ip)) {
    if (set_.contains(std::pair(IpPrefix::Masked(ip, length).address, length))) return true;
  }
  return false;
}

}  // namespace mesh::authz
