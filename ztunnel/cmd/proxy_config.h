// Istio's ProxyConfig, which some installations configure ztunnel with: the mesh's own file
// (./etc/istio/config/mesh, its defaultConfig) and the PROXY_CONFIG variable, which wins field by
// field. Both are YAML or JSON; fields that ztunnel has no use for are ignored.
//
// What they say becomes the environment's default: a variable that is set wins, an empty one too.
//   discoveryAddress        XDS_ADDRESS
//   proxyAdminPort          MESH_ADMIN_PORT
//   statusPort, statsPort   MESH_STATS_PORT
//   concurrency             ZTUNNEL_WORKER_THREADS; 0: one for every CPU
//   proxyMetadata           ISTIO_META_*: names that do not begin so are only told to the control
//                           plane, and are no settings
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <string>

namespace mesh::cmd {

using Environment = std::map<std::string, std::string>;

inline constexpr char kMeshConfigFile[] = "./etc/istio/config/mesh";

// `mesh_config` is the text of the mesh's file. Errors name the file or PROXY_CONFIG, and the
// field.
absl::StatusOr<Environment> WithProxyConfig(Environment environment,
                                            const std::optional<std::string>& mesh_config);

// The mesh's file; nothing when there is none, an error when it cannot be read.
absl::StatusOr<std::optional<std::string>> ReadMeshConfig(const std::string& path);

}  // namespace mesh::cmd
