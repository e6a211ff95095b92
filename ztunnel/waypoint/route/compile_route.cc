#include "ztunnel/waypoint/route/compile_route.h"

#include "proto/l7_frontend.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/header_map.h"
#include "ztunnel/waypoint/route/compile.h"

namespace mesh::route {
namespace {

constexpr size_t kMaxBody = 1 << 20;

// Joined by ','; `any` when one of them is "*".
absl::StatusOr<std::string> JoinTokens(const google::protobuf::RepeatedPtrField<std::string>& list,
                                       bool* any) {
  std::string out;
  for (const std::string& item : list) {
    if (!http::IsFieldName(item)) return Invalid("\"{}\"", item);
    if (item == "*" && any != nullptr) *any = true;
    if (!out.empty()) out += ',';
    out += item;
  }
  return out;
}

absl::StatusOr<DirectResponse> CompileDirect(const l7::v1::DirectResponse& response) {
  if (response.status() < 200 || response.status() > 599)
    return Invalid("status: {} is not between 200 and 599", response.status());
  if (response.body().size() > kMaxBody) return Invalid("body: {} bytes", response.body().size());
  DirectResponse out{.status = static_cast<uint16_t>(response.status()), .body = nullptr};
  if (!response.body().empty()) out.body = std::make_shared<const std::string>(response.body());
  return out;
}

absl::Status CompileAction(const l7::v1::Route& route, Route& out) {
  switch (route.action_case()) {
    case l7::v1::Route::kForward: {
      ASSIGN_OR_RETURN(out.action, WithContext(CompileForward(route.forward()), "forward"));
      return absl::OkStatus();
    }
    case l7::v1::Route::kRedirect: {
      ASSIGN_OR_RETURN(out.action, WithContext(CompileRedirect(route.redirect()), "redirect"));
      return absl::OkStatus();
    }
    case l7::v1::Route::kDirectResponse: {
      ASSIGN_OR_RETURN(out.action,
                       WithContext(CompileDirect(route.direct_response()), "direct_response"));
      return absl::OkStatus();
    }
    case l7::v1::Route::ACTION_NOT_SET:
      break;
  }
  return Invalid("no action");
}

}  // namespace

absl::StatusOr<Cors> CompileCors(const l7::v1::Cors& cors) {
  Cors out;
  for (int i = 0; i < cors.allow_origins_size(); ++i) {
    ASSIGN_OR_RETURN(TextMatch origin, WithContext(TextMatch::Compile(cors.allow_origins(i)),
                                                   fmt::format("allow_origins[{}]", i)));
    out.allow_origins.push_back(std::move(origin));
  }
  ASSIGN_OR_RETURN(out.allow_methods,
                   WithContext(JoinTokens(cors.allow_methods(), &out.any_method), "allow_methods"));
  ASSIGN_OR_RETURN(out.allow_headers,
                   WithContext(JoinTokens(cors.allow_headers(), &out.any_header), "allow_headers"));
  ASSIGN_OR_RETURN(out.expose_headers,
                   WithContext(JoinTokens(cors.expose_headers(), nullptr), "expose_headers"));
  if (cors.has_max_age()) {
    ASSIGN_OR_RETURN(absl::Duration age, WithContext(CompileDuration(cors.max_age()), "max_age"));
    out.max_age_seconds = absl::ToInt64Seconds(age);
  }
  out.allow_credentials = cors.allow_credentials();
  out.ignore_unmatched_preflights = cors.ignore_unmatched_preflights();
  return out;
}

absl::StatusOr<Route> CompileRoute(const l7::v1::Route& route) {
  Route out;
  out.name = route.name();
  out.origin = route.origin();
  RETURN_IF_ERROR(CompileAction(route, out));
  if (route.has_fault()) {
    ASSIGN_OR_RETURN(out.fault, WithContext(CompileFault(route.fault()), "fault"));
  }
  if (route.has_cors()) {
    ASSIGN_OR_RETURN(out.cors, WithContext(CompileCors(route.cors()), "cors"));
  }
  ASSIGN_OR_RETURN(out.request_headers,
                   WithContext(CompileHeaderOps(route.request_headers(), true), "request_headers"));
  ASSIGN_OR_RETURN(
      out.response_headers,
      WithContext(CompileHeaderOps(route.response_headers(), false), "response_headers"));
  return out;
}

}  // namespace mesh::route
