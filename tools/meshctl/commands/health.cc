#include "tools/meshctl/commands/health.h"

#include "ztunnel/base/netns.h"
#include "ztunnel/base/status.h"

namespace mesh::meshctl {

absl::StatusOr<HttpAnswer> HttpInside(const local::Layout& layout, const std::string& where,
                                      HttpRequest request) {
  ASSIGN_OR_RETURN(const Netns netns,
                   Netns::Open(local::Layout::netns_path(layout.netns_name(where))));
  return netns.Run([&]() -> absl::StatusOr<HttpAnswer> { return Http(request); });
}

absl::StatusOr<Json> JsonInside(const local::Layout& layout, const std::string& where,
                                const std::string& url) {
  ASSIGN_OR_RETURN(const HttpAnswer answer, HttpInside(layout, where, {.url = url}));
  if (answer.code != 200)
    return Unavailable("{}: HTTP {}: {}", url, answer.code, answer.body.substr(0, 200));
  return Json::Parse(answer.body);
}

absl::StatusOr<Json> AgentStatus(const local::Layout& layout, const std::string& node) {
  ASSIGN_OR_RETURN(const HttpAnswer answer, Http({.url = "http://localhost/status",
                                                  .unix_socket = layout.agent_socket(node)}));
  if (answer.code != 200)
    return Unavailable("/status: HTTP {}: {}", answer.code, answer.body.substr(0, 200));
  return Json::Parse(answer.body);
}

absl::Status ZtunnelReady(const local::Layout& layout, const std::string& node) {
  ASSIGN_OR_RETURN(
      const HttpAnswer answer,
      HttpInside(layout, node,
                 {.url = "http://127.0.0.1:15021/healthz/ready", .timeout = absl::Seconds(2)}));
  if (answer.code == 200) return absl::OkStatus();
  return Unavailable("{}", answer.body.substr(0, 200));
}

absl::StatusOr<Json> ZtunnelDump(const local::Layout& layout, const std::string& node) {
  return JsonInside(layout, node, "http://127.0.0.1:15000/config_dump");
}

absl::StatusOr<Json> ControllerPage(const local::Layout& layout, const std::string& path) {
  return JsonInside(layout, "controller", "http://127.0.0.1:15014" + path);
}

}  // namespace mesh::meshctl
