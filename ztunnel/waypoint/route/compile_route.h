// From the messages of a Frontend to plain values. Errors name the field.
#pragma once

#include <absl/status/statusor.h>

#include "ztunnel/waypoint/route/match_index.h"
#include "ztunnel/waypoint/route/route.h"

namespace mesh::l7::v1 {
class Cors;
class Fault;
class Forward;
class Redirect;
class Route;
class RouteMatch;
}  // namespace mesh::l7::v1

namespace mesh::route {

absl::StatusOr<HttpMatch> CompileMatch(const l7::v1::RouteMatch& match);
// All of a route but what its alternatives say: path, and their part of the name.
absl::StatusOr<Route> CompileRoute(const l7::v1::Route& route);

absl::StatusOr<Forward> CompileForward(const l7::v1::Forward& forward);
absl::StatusOr<Redirect> CompileRedirect(const l7::v1::Redirect& redirect);
absl::StatusOr<Fault> CompileFault(const l7::v1::Fault& fault);
absl::StatusOr<Cors> CompileCors(const l7::v1::Cors& cors);

}  // namespace mesh::route
