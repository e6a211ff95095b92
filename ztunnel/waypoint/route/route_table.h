// The routes of one Frontend, compiled when the snapshot is published.
//
// Find costs as much for a thousand routes as for one: exact paths and prefixes are indexed, and so
// are the exact headers of routes that no path tells apart. First match wins in the Frontend's
// order. Immutable and thread-safe; Find and Choose* allocate nothing in the common case.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "ztunnel/waypoint/route/l4_routes.h"
#include "ztunnel/waypoint/route/request_view.h"
#include "ztunnel/waypoint/route/route.h"

namespace mesh::l7::v1 {
class Frontend;
}

namespace mesh::route {

class MatchIndex;

class RouteTable {
 public:
  // The error names the field: "routes[3].matches[0].path.regex: ...".
  static absl::StatusOr<std::shared_ptr<const RouteTable>> Compile(
      const l7::v1::Frontend& frontend);
  ~RouteTable();
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;

  // The first route that takes the request, null when none does. Valid as long as the table.
  const Route* Find(const RequestView& request) const;
  const std::vector<Route>& routes() const { return routes_; }  // one for each match, in order

  const L4Routes& l4() const { return l4_; }

 private:
  RouteTable();
  std::vector<Route> routes_;
  std::unique_ptr<const MatchIndex> index_;  // what each route asks for, and where to look
  L4Routes l4_;
};

}  // namespace mesh::route
