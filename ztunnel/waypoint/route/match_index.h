// Finds the first of many HTTP matches without looking at most of them.
//
// Matches are sorted into buckets by what their path asks for: exact paths in a hash, prefixes in a
// sorted list whose entries know the next shorter prefix, the rest in one bucket. A bucket with
// many matches is sorted once more, by the exact header (or authority) that tells most of them
// apart. Within a bucket ids ascend, so a look-up stops at the best id that it has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ztunnel/base/string_map.h"
#include "ztunnel/waypoint/route/request_view.h"
#include "ztunnel/waypoint/route/text_match.h"

namespace mesh::route {

struct NamedMatch {
  std::string name;
  TextMatch match;
  bool invert = false;

  bool Accepts(const std::optional<std::string_view>& value) const;
};

// All of it must match.
struct HttpMatch {
  PathMatch path;
  std::optional<TextMatch> method, scheme, authority;
  std::vector<NamedMatch> headers;
  std::vector<NamedMatch> query;
  std::vector<std::pair<std::string, std::string>> source_labels;
  std::string source_namespace;

  bool Matches(const RequestView& request) const;
};

// A header's value, several joined by ',' in `joined`; also :method, :scheme, :authority, :path.
std::optional<std::string_view> HeaderValue(const RequestView& request, std::string_view name,
                                            std::string& joined);

class MatchIndex {
 public:
  explicit MatchIndex(std::vector<HttpMatch> matches);

  // The lowest index of a match that takes the request.
  std::optional<uint32_t> Find(const RequestView& request) const;

 private:
  using Ids = std::vector<uint32_t>;  // ascending
  struct ByHeader {
    std::string name;
    StringMap<Ids> values;
  };
  struct Bucket {
    Ids all;  // those that are in no ByHeader
    std::vector<ByHeader> by_header;
  };
  struct Prefix {
    std::string text;
    int32_t shorter = -1;  // index of the longest other prefix that this one begins with
    Bucket bucket;
  };

  void Sort(Bucket& bucket) const;
  void LinkPrefixes();
  const Prefix* LongestPrefix(std::string_view path) const;
  // The first match of the list below `best`, else `best`.
  uint32_t First(const Ids& ids, const RequestView& request, uint32_t best) const;
  uint32_t First(const Bucket& bucket, const RequestView& request, uint32_t best) const;

  std::vector<HttpMatch> matches_;
  StringMap<Bucket> exact_;
  std::vector<Prefix> prefixes_;  // sorted
  Bucket rest_;
};

}  // namespace mesh::route
