// Asking the running daemons of a local mesh about themselves.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "tools/meshctl/http.h"
#include "tools/meshctl/json.h"
#include "tools/meshctl/local/layout.h"

namespace mesh::meshctl {

// A request made inside a network namespace of the mesh ("node-1", "controller").
absl::StatusOr<HttpAnswer> HttpInside(const local::Layout& layout, const std::string& where,
                                      HttpRequest request);
// The same, expecting 200 and JSON.
absl::StatusOr<Json> JsonInside(const local::Layout& layout, const std::string& where,
                                const std::string& url);

// The node agent's own account: pods, programs, maps, counters.
absl::StatusOr<Json> AgentStatus(const local::Layout& layout, const std::string& node);
absl::Status ZtunnelReady(const local::Layout& layout, const std::string& node);  // OK: ready
absl::StatusOr<Json> ZtunnelDump(const local::Layout& layout, const std::string& node);
absl::StatusOr<Json> ControllerPage(const local::Layout& layout, const std::string& path);

}  // namespace mesh::meshctl
