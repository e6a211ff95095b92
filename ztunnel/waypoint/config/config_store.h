// Takes in the L7 resources that the control plane sends and makes snapshots of them.
//
// Owner: main. Thread: the main thread's. A resource that cannot be compiled is refused alone and
// by field; the version before it stays. What is compiled is kept: a publish compiles nothing, it
// puts together.
#pragma once

#include <functional>
#include <string>

#include "ztunnel/core/xds/delta_client.h"
#include "ztunnel/waypoint/config/config.h"

namespace mesh::l7::v1 {
class Authentication;
}

namespace mesh::waypoint {

inline constexpr std::string_view kFrontendType = "type.googleapis.com/mesh.l7.v1.Frontend";
inline constexpr std::string_view kClusterType = "type.googleapis.com/mesh.l7.v1.Cluster";
inline constexpr std::string_view kPolicyType = "type.googleapis.com/mesh.l7.v1.Policy";
inline constexpr std::string_view kAuthenticationType =
    "type.googleapis.com/mesh.l7.v1.Authentication";
inline constexpr std::string_view kPeerType = "type.googleapis.com/mesh.l7.v1.Peer";

// Every type that a waypoint subscribes to, beside those of the mesh.
std::vector<std::string_view> L7Types();

class ConfigStore final : public xds::ResourceSink {
 public:
  absl::Status Upsert(std::string_view type_url, const xds::Resource& resource) override;
  void Remove(std::string_view type_url, std::string_view name) override;

  ConfigRef Publish(state::MeshStateRef state, absl::Time now);

 private:
  struct HeldFrontend {
    Frontend compiled;  // without policies
    std::vector<std::string> policies, authentications;
  };
  struct HeldPeer {
    route::Labels labels;
    std::map<std::string, std::string> label_map;
    std::vector<std::string> policies;
  };

  void KeepPolicies(const std::string& name, HeldFrontend refused);
  absl::Status UpsertFrontend(const std::string& name, const std::string& bytes);
  absl::Status UpsertCluster(const std::string& name, const std::string& bytes);
  absl::Status UpsertPolicy(const std::string& name, const std::string& bytes);
  absl::Status UpsertAuthentication(const std::string& name, const std::string& bytes);
  absl::Status UpsertPeer(const std::string& name, const std::string& bytes);
  // A policy that is named and not there denies: it is on its way, or was refused.
  std::shared_ptr<const filter::PolicySet> PoliciesOf(const std::vector<std::string>& names) const;

  // How the tokens of a frontend's requests are checked. One that is named and not there denies,
  // too: it is added to `policies`.
  std::shared_ptr<const filter::JwtRules> TokensOf(const std::vector<std::string>& names,
                                                   std::vector<std::string>& policies) const;

  StringMap<HeldFrontend> frontends_;
  StringMap<lb::ClusterOptions> clusters_;
  StringMap<filter::PolicyRef> policies_;
  StringMap<std::shared_ptr<const l7::v1::Authentication>> authentications_;
  StringMap<HeldPeer> peers_;
  ConfigRef last_;
};

}  // namespace mesh::waypoint
