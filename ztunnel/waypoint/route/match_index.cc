#include "ztunnel/waypoint/route/match_index.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "ztunnel/waypoint/route/l4_routes.h"

namespace mesh::route {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr size_t kWorthSorting = 8;
constexpr size_t kMaxByHeader = 8;
constexpr std::string_view kAuthority = ":authority";

bool IsPlainExact(const TextMatch& match) {
  return match.kind() == TextMatch::Kind::kExact && !match.ignore_case();
}

// Calls `visit` with name and value of each header (or authority) that must have exactly one value.
template <typename Visit>
void ForEachExactHeader(const HttpMatch& match, const Visit& visit) {
  if (match.authority && IsPlainExact(*match.authority)) visit(kAuthority, match.authority->text());
  for (const NamedMatch& header : match.headers) {
    if (!header.invert && IsPlainExact(header.match)) visit(header.name, header.match.text());
  }
}

bool AcceptsAll(const std::vector<NamedMatch>& headers, const RequestView& request) {
  std::string joined;
  return std::all_of(headers.begin(), headers.end(), [&](const NamedMatch& header) {
    return header.Accepts(HeaderValue(request, header.name, joined));
  });
}

}  // namespace

bool NamedMatch::Accepts(const std::optional<std::string_view>& value) const {
  if (!invert) return match.Matches(value);
  switch (match.kind()) {
    case TextMatch::Kind::kPresent:
    case TextMatch::Kind::kAbsent:
      return !match.Matches(value);
    default:
      return !match.Matches(value.value_or(std::string_view()));
  }
}

std::optional<std::string_view> HeaderValue(const RequestView& request, std::string_view name,
                                            std::string& joined) {
  if (name.starts_with(':')) {
    if (name == kAuthority) return request.authority;
    if (name == ":path") return request.target;
    if (name == ":method") return request.method;
    if (name == ":scheme") return request.scheme;
    return std::nullopt;
  }
  std::optional<std::string_view> first;
  for (size_t i = 0; i < request.headers.size(); ++i) {
    const http::HeaderView header = request.headers[i];
    if (header.name != name) continue;
    if (first) {
      joined = *request.headers.Joined(name);
      return joined;
    }
    first = header.value;
  }
  return first;
}

bool HttpMatch::Matches(const RequestView& request) const {
  return path.Matches(request.path) && (!method || method->Matches(request.method)) &&
         (!scheme || scheme->Matches(request.scheme)) &&
         (!authority || authority->Matches(request.authority)) &&
         (source_namespace.empty() || source_namespace == request.source_namespace) &&
         MatchesLabels(source_labels, request.source_labels) && AcceptsAll(headers, request) &&
         std::all_of(query.begin(), query.end(), [&](const NamedMatch& parameter) {
           return parameter.Accepts(QueryParameter(request.query, parameter.name));
         });
}

MatchIndex::MatchIndex(std::vector<HttpMatch> matches) : matches_(std::move(matches)) {
  std::map<std::string_view, Bucket> prefixes;
  for (uint32_t id = 0; id < matches_.size(); ++id) {
    const PathMatch& path = matches_[id].path;
    const PathMatch::Kind kind = path.ignore_case() ? PathMatch::Kind::kAny : path.kind();
    if (kind == PathMatch::Kind::kExact) {
      exact_[path.text()].all.push_back(id);
    } else if (kind == PathMatch::Kind::kPrefix || kind == PathMatch::Kind::kSegmentPrefix) {
      prefixes[path.text()].all.push_back(id);
    } else {
      rest_.all.push_back(id);
    }
  }
  for (auto& [text, bucket] : prefixes)
    prefixes_.push_back(Prefix{std::string(text), -1, std::move(bucket)});
  LinkPrefixes();
  for (auto& [path, bucket] : exact_) Sort(bucket);
  for (Prefix& prefix : prefixes_) Sort(prefix.bucket);
  Sort(rest_);
}

// In sorted order all that a prefix begins with stand before it, and the chain of its predecessor
// holds them.
void MatchIndex::LinkPrefixes() {
  for (int32_t i = 1; i < static_cast<int32_t>(prefixes_.size()); ++i) {
    int32_t shorter = i - 1;
    while (shorter >= 0 && !prefixes_[i].text.starts_with(prefixes_[shorter].text))
      shorter = prefixes_[shorter].shorter;
    prefixes_[i].shorter = shorter;
  }
}

void MatchIndex::Sort(Bucket& bucket) const {
  if (bucket.all.size() <= kWorthSorting) return;
  std::map<std::string_view, std::set<std::string_view>> values;
  for (const uint32_t id : bucket.all) {
    ForEachExactHeader(matches_[id], [&values](std::string_view name, std::string_view value) {
      values[name].insert(value);
    });
  }
  Ids left;
  for (const uint32_t id : bucket.all) {
    std::string_view best_name, best_value;
    size_t best = 0;
    ForEachExactHeader(matches_[id], [&](std::string_view name, std::string_view value) {
      if (values[name].size() <= best) return;
      best = values[name].size();
      best_name = name;
      best_value = value;
    });
    auto place = std::find_if(bucket.by_header.begin(), bucket.by_header.end(),
                              [best_name](const ByHeader& by) { return by.name == best_name; });
    if (best > 0 && place == bucket.by_header.end() && bucket.by_header.size() < kMaxByHeader)
      place = bucket.by_header.insert(place, ByHeader{std::string(best_name), {}});
    if (best == 0 || place == bucket.by_header.end()) {
      left.push_back(id);
    } else {
      place->values[std::string(best_value)].push_back(id);
    }
  }
  bucket.all = std::move(left);
}

// The predecessor of `path` in sorted order begins with every prefix of `path` that there is.
const MatchIndex::Prefix* MatchIndex::LongestPrefix(std::string_view path) const {
  const auto above =
      std::upper_bound(prefixes_.begin(), prefixes_.end(), path,
                       [](std::string_view text, const Prefix& p) { return text < p.text; });
  int32_t at = static_cast<int32_t>(above - prefixes_.begin()) - 1;
  while (at >= 0 && !path.starts_with(prefixes_[at].text)) at = prefixes_[at].shorter;
  return at < 0 ? nullptr : &prefixes_[at];
}

uint32_t MatchIndex::First(const Ids& ids, const RequestView& request, uint32_t best) const {
  for (const uint32_t id : ids) {
    if (id >= best) break;
    if (matches_[id].Matches(request)) return id;
  }
  return best;
}

uint32_t MatchIndex::First(const Bucket& bucket, const RequestView& request, uint32_t best) const {
  best = First(bucket.all, request, best);
  std::string joined;
  for (const ByHeader& by : bucket.by_header) {
    const auto value = HeaderValue(request, by.name, joined);
    if (!value) continue;
    if (const auto ids = by.values.find(*value); ids != by.values.end())
      best = First(ids->second, request, best);
  }
  return best;
}

std::optional<uint32_t> MatchIndex::Find(const RequestView& request) const {
  uint32_t best = kNone;
  if (const auto bucket = exact_.find(request.path); bucket != exact_.end())
    best = First(bucket->second, request, best);
  for (const Prefix* prefix = LongestPrefix(request.path); prefix != nullptr;
       prefix = prefix->shorter < 0 ? nullptr : &prefixes_[prefix->shorter])
    best = First(prefix->bucket, request, best);
  best = First(rest_, request, best);
  return best == kNone ? std::nullopt : std::optional(best);
}

}  // namespace mesh::route
