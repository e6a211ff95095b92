// What a request leaves behind: metrics and one line of the access log.
#pragma once

#include "ztunnel/waypoint/proxy/exchange.h"
#include "ztunnel/waypoint/route/facts.h"

namespace mesh::waypoint {

// `host` may be null: none was chosen. `grpc_status` empty: the answer named none.
void ReportRequest(Core& core, const Scene& scene, const route::Facts& facts, const lb::Host* host,
                   uint16_t status, std::string_view grpc_status);

}  // namespace mesh::waypoint
