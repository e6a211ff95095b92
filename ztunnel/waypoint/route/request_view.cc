#include "ztunnel/waypoint/route/request_view.h"

#include <algorithm>

namespace mesh::route {

RequestView::RequestView(std::string_view method, std::string_view scheme,
                         std::string_view authority, std::string_view target,
                         const http::HeaderMap& headers)
    : method(method), scheme(scheme), authority(authority), target(target), headers(headers) {
  const size_t mark = target.find('?');
  path = target.substr(0, mark);
  if (mark != target.npos) query = target.substr(mark + 1);
}

std::optional<std::string_view> QueryParameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) == name) return pair.substr(std::min(equals + 1, pair.size()));
  }
  return std::nullopt;
}

}  // namespace mesh::route
