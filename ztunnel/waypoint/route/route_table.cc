#include "ztunnel/waypoint/route/route_table.h"

#include "proto/l7_frontend.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/route/compile_route.h"
#include "ztunnel/waypoint/route/match_index.h"
#include "ztunnel/waypoint/route/weighted.h"

namespace mesh::route {
namespace {

constexpr size_t kMaxAlternatives = 100'000;  // of a Frontend

// Each alternative is a route of its own, with its path and its name.
absl::Status CompileAlternatives(const l7::v1::Route& proto, const Route& route,
                                 std::vector<Route>& routes, std::vector<HttpMatch>& matches) {
  if (proto.matches().empty()) {
    routes.push_back(route);
    matches.emplace_back();
    return absl::OkStatus();
  }
  for (int i = 0; i < proto.matches_size(); ++i) {
    if (routes.size() == kMaxAlternatives) return Invalid("more than {} matches", routes.size());
    ASSIGN_OR_RETURN(HttpMatch match,
                     WithContext(CompileMatch(proto.matches(i)), fmt::format("matches[{}]", i)));
    Route& alternative = routes.emplace_back(route);
    alternative.path = match.path;
    if (!proto.matches(i).name().empty()) {
      if (!alternative.name.empty()) alternative.name += '.';
      alternative.name += proto.matches(i).name();
    }
    matches.push_back(std::move(match));
  }
  return absl::OkStatus();
}

}  // namespace

const Backend& ChooseBackend(const Forward& forward, uint64_t random) {
  return PickWeighted(forward.backends, forward.weight_sum, random);
}

RouteTable::RouteTable() = default;
RouteTable::~RouteTable() = default;

absl::StatusOr<std::shared_ptr<const RouteTable>> RouteTable::Compile(
    const l7::v1::Frontend& frontend) {
  std::shared_ptr<RouteTable> table(new RouteTable);
  std::vector<HttpMatch> matches;
  for (int i = 0; i < frontend.routes_size(); ++i) {
    const std::string where = fmt::format("routes[{}]", i);
    ASSIGN_OR_RETURN(Route route, WithContext(CompileRoute(frontend.routes(i)), where));
    RETURN_IF_ERROR(WithContext(
        CompileAlternatives(frontend.routes(i), route, table->routes_, matches), where));
  }
  table->index_ = std::make_unique<const MatchIndex>(std::move(matches));
  ASSIGN_OR_RETURN(table->l4_, L4Routes::Compile(frontend));
  return table;
}

const Route* RouteTable::Find(const RequestView& request) const {
  const auto found = index_->Find(request);
  return found ? &routes_[*found] : nullptr;
}

}  // namespace mesh::route
