// A route's actions on heads: what is sent upstream, what is answered here, what the answer gets.
//
// Order for a forwarded request: DecideFault, CheckCors, PrepareUpstream (once for each backend, so
// not again for a retry to the same), then for the answer: FinishResponse. Redirects, direct
// responses and preflights are answered with FinishResponse, too.
#pragma once

#include <absl/time/time.h>

#include <optional>
#include <string>
#include <string_view>

#include "ztunnel/waypoint/route/request_view.h"
#include "ztunnel/waypoint/route/route.h"

namespace mesh::route {

// ---- Forward

// Header operations in their order, then the authority, then the path; a path that changes is kept
// in x-envoy-original-path. `head` is what goes upstream; `facts.request` may be the same.
void PrepareUpstream(const Route& route, const Backend& backend, const Facts& facts,
                     http::RequestHead& head);
// The target that the route's rewrite makes; nothing when it stays.
std::optional<std::string> RewrittenTarget(const Route& route, std::string_view target);

// Response header operations; `backend` is null when the answer is our own.
void FinishResponse(const Route& route, const Backend* backend, const Facts& facts,
                    http::HeaderMap& headers);

// "host-shadow:port", of the copy that a mirror gets.
std::string ShadowAuthority(std::string_view authority);

// ---- Redirect

// Status and Location. The port of FROM_REQUEST_PORT is the authority's, else `service_port`.
http::ResponseHead RedirectResponse(const Route& route, const Redirect& redirect,
                                    const RequestView& request, uint16_t service_port);

// ---- Fault

struct FaultDecision {
  std::optional<absl::Duration> delay;        // first wait
  std::optional<uint16_t> abort_status;       // then answer "fault filter abort"
  std::optional<uint32_t> abort_grpc_status;  // of a gRPC request: 200 with this status
  bool aborts() const { return abort_status || abort_grpc_status; }
};
// The two decisions are independent: two random numbers.
FaultDecision DecideFault(const Fault& fault, uint64_t random_delay, uint64_t random_abort);

// ---- CORS

struct CorsDecision {
  bool origin_allowed = false;
  std::optional<http::ResponseHead> answer;  // a preflight that is answered here
};
CorsDecision CheckCors(const Cors& cors, const RequestView& request);
// Whether it is a preflight at all (OPTIONS with Origin and Access-Control-Request-Method).
bool IsPreflight(const RequestView& request);
// For the response to a request whose origin is allowed.
void AddCorsHeaders(const Cors& cors, std::string_view origin, http::HeaderMap& headers);

}  // namespace mesh::route
