#include "ztunnel/waypoint/proxy/scene.h"

#include "ztunnel/base/status.h"

namespace mesh::waypoint {

absl::StatusOr<SceneRef> MakeScene(Core& core, const SocketAddress& client,
                                   const std::optional<identity::Identity>& identity,
                                   hbone::Authority authority) {
  if (core.config == nullptr) {
    return telemetry::WithReason(Unavailable("no configuration has arrived yet"),
                                 MESH_REASON_UNKNOWN_DESTINATION);
  }
  auto scene = std::make_shared<Scene>();
  scene->config = core.config;
  scene->client.address = client;
  scene->client.identity = identity;
  if (identity) scene->client.principal = identity->Principal();
  scene->client.workload = core.config->state->FindWorkload(core.options.where.network, client.ip);
  // An address alone is no proof: labels count only when the identity is that workload's.
  const state::WorkloadRef& workload = scene->client.workload;
  if (workload != nullptr && identity && workload->Identity() == *identity) {
    scene->client.peer = core.config->FindPeer(workload->uid.view());
  }
  ASSIGN_OR_RETURN(scene->target, ResolveTarget(*core.config, authority, core.options.where,
                                                identity ? identity->ns : std::string()));
  scene->authority = std::move(authority);
  return SceneRef(std::move(scene));
}

}  // namespace mesh::waypoint
