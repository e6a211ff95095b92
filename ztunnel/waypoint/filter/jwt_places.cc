#include "ztunnel/waypoint/filter/jwt_places.h"

#include <algorithm>

#include "ztunnel/waypoint/http/chars.h"

namespace mesh::filter {
namespace {

// Calls `visit` with name and value of each pair of a list like a=1&b=2; what it keeps is returned.
template <typename Keep>
std::string Filter(std::string_view list, char separator, std::string_view join, const Keep& keep) {
  std::string out;
  while (!list.empty()) {
    const size_t end = std::min(list.find(separator), list.size());
    const std::string_view pair = http::Trim(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (pair.empty() ||
        !keep(pair.substr(0, equals), pair.substr(std::min(equals + 1, pair.size()))))
      continue;
    if (!out.empty()) out += join;
    out += pair;
  }
  return out;
}

bool Lists(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Quietly collects the values of pairs that are named.
auto Collect(const std::vector<std::string>& names, std::vector<std::string>& out) {
  return [&names, &out](std::string_view name, std::string_view value) {
    if (Lists(names, name) && !value.empty()) out.emplace_back(value);
    return false;
  };
}

auto Others(const std::vector<std::string>& names) {
  return [&names](std::string_view name, std::string_view) { return !Lists(names, name); };
}

bool IsPlace(const JwtRule& rule, const http::HeaderView& header) {
  return std::any_of(rule.headers.begin(), rule.headers.end(), [&](const JwtRule::Place& place) {
    return header.name == place.header && header.value.starts_with(place.prefix);
  });
}

}  // namespace

std::vector<std::string> TokensOf(const JwtRule& rule, const http::RequestHead& head) {
  std::vector<std::string> out;
  for (size_t i = 0; i < head.headers.size(); ++i) {
    const http::HeaderView header = head.headers[i];
    for (const JwtRule::Place& place : rule.headers) {
      if (header.name == place.header && header.value.starts_with(place.prefix))
        out.emplace_back(http::Trim(header.value.substr(place.prefix.size())));
    }
    if (header.name == "cookie" && !rule.cookies.empty())
      Filter(header.value, ';', "; ", Collect(rule.cookies, out));
  }
  const size_t mark = head.path.find('?');
  if (mark != head.path.npos && !rule.parameters.empty())
    Filter(std::string_view(head.path).substr(mark + 1), '&', "&", Collect(rule.parameters, out));
  return out;
}

void RemoveTokens(const JwtRule& rule, http::RequestHead& head) {
  head.headers.RemoveIf([&rule](const http::HeaderView& header) { return IsPlace(rule, header); });
  if (!rule.cookies.empty() && head.headers.Has("cookie")) {
    std::string all;  // several fields are one list (RFC 9113, 8.2.3)
    for (size_t i = 0; i < head.headers.size(); ++i) {
      const http::HeaderView header = head.headers[i];
      if (header.name == "cookie") all.append(header.value).append("; ");
    }
    const std::string cookies = Filter(all, ';', "; ", Others(rule.cookies));
    if (cookies.empty())
      head.headers.Remove("cookie");
    else
      head.headers.Set("cookie", cookies);
  }
  const size_t mark = head.path.find('?');
  if (mark == head.path.npos || rule.parameters.empty()) return;
  const std::string query = head.path.substr(mark + 1);
  std::vector<std::string> found;
  Filter(query, '&', "&", Collect(rule.parameters, found));
  if (found.empty()) return;
  const std::string rest = Filter(query, '&', "&", Others(rule.parameters));
  head.path.resize(mark);
  if (!rest.empty()) head.path += "?" + rest;
}

}  // namespace mesh::filter
