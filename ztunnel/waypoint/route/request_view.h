// What routes look at of a request.
#pragma once

#include <string_view>

#include "ztunnel/base/string_map.h"
#include "ztunnel/waypoint/http/header_map.h"

namespace mesh::route {

using Labels = StringMap<std::string>;

struct RequestView {
  RequestView(std::string_view method, std::string_view scheme, std::string_view authority,
              std::string_view target, const http::HeaderMap& headers);

  std::string_view method;
  std::string_view scheme;
  std::string_view authority;  // as sent, with its port
  std::string_view target;     // path with query, the path normalised
  std::string_view path;       // of the target
  std::string_view query;      // of the target, without '?'
  const http::HeaderMap& headers;
  std::string_view source_namespace;      // empty: not known
  const Labels* source_labels = nullptr;  // of the client's workload; null: none
};

// The first value of a parameter, as it stands (not decoded); a parameter without '=' is empty.
std::optional<std::string_view> QueryParameter(std::string_view query, std::string_view name);

}  // namespace mesh::route
