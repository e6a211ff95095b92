#include "ztunnel/waypoint/config/config_store.h"

#include "proto/l7_cluster.pb.h"
#include "proto/l7_frontend.pb.h"
#include "proto/l7_policy.pb.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/lb/build.h"

namespace mesh::waypoint {
namespace {

namespace l7 = mesh::l7::v1;

template <typename Message>
absl::StatusOr<Message> Parse(const std::string& bytes) {
  Message message;
  if (!message.ParseFromString(bytes)) {
    return Invalid("{} bytes are no {}", bytes.size(), Message::descriptor()->name());
  }
  return message;
}

absl::StatusOr<PortProtocol> ProtocolOf(l7::Frontend::Protocol protocol) {
  switch (protocol) {
    case l7::Frontend::DETECT:
      return PortProtocol::kDetect;
    case l7::Frontend::HTTP:
      return PortProtocol::kHttp;
    case l7::Frontend::HTTP2:
      return PortProtocol::kHttp2;
    case l7::Frontend::TCP:
      return PortProtocol::kTcp;
    case l7::Frontend::TLS:
      return PortProtocol::kTls;
    default:
      return Invalid("protocol: {} is not known", static_cast<int>(protocol));
  }
}

}  // namespace

std::vector<std::string_view> L7Types() {
  // Policies before what refers to them.
  return {kPolicyType, kAuthenticationType, kPeerType, kClusterType, kFrontendType};
}

absl::Status ConfigStore::Upsert(std::string_view type_url, const xds::Resource& resource) {
  if (resource.resource().type_url() != type_url) {
    return Invalid("resource of type {}", Quoted(resource.resource().type_url()));
  }
  const std::string& bytes = resource.resource().value();
  if (type_url == kFrontendType) return UpsertFrontend(resource.name(), bytes);
  if (type_url == kClusterType) return UpsertCluster(resource.name(), bytes);
  if (type_url == kPolicyType) return UpsertPolicy(resource.name(), bytes);
  if (type_url == kAuthenticationType) return UpsertAuthentication(resource.name(), bytes);
  if (type_url == kPeerType) return UpsertPeer(resource.name(), bytes);
  return Invalid("type {} is not known", Quoted(type_url));
}

void ConfigStore::Remove(std::string_view type_url, std::string_view name) {
  const std::string key(name);
  if (type_url == kFrontendType) frontends_.erase(key);
  if (type_url == kClusterType) clusters_.erase(key);
  if (type_url == kPolicyType) policies_.erase(key);
  if (type_url == kAuthenticationType) authentications_.erase(key);
  if (type_url == kPeerType) peers_.erase(key);
}

absl::Status ConfigStore::UpsertFrontend(const std::string& name, const std::string& bytes) {
  ASSIGN_OR_RETURN(const l7::Frontend proto, Parse<l7::Frontend>(bytes));
  if (proto.port() == 0 || proto.port() > 65535) {
    return Invalid("port: {} is no port", proto.port());
  }
  HeldFrontend held;
  held.compiled.service = proto.service();
  held.compiled.port = static_cast<uint16_t>(proto.port());
  ASSIGN_OR_RETURN(held.compiled.protocol, ProtocolOf(proto.protocol()));
  held.compiled.telemetry = proto.telemetry();
  held.policies.assign(proto.policies().begin(), proto.policies().end());
  held.authentications.assign(proto.authentications().begin(), proto.authentications().end());
  auto routes = route::RouteTable::Compile(proto);
  if (!routes.ok()) {
    KeepPolicies(name, std::move(held));
    return routes.status();
  }
  held.compiled.routes = *std::move(routes);
  frontends_.insert_or_assign(name, std::move(held));
  return absl::OkStatus();
}

// Routes that cannot be compiled stay as they were; policies do not wait for them. Without routes
// of before nothing passes.
void ConfigStore::KeepPolicies(const std::string& name, HeldFrontend refused) {
  const auto it = frontends_.find(name);
  if (it != frontends_.end()) {
    it->second.policies = std::move(refused.policies);
    it->second.authentications = std::move(refused.authentications);
    return;
  }
  refused.compiled.routes = *route::RouteTable::Compile(l7::Frontend());
  refused.policies.push_back("routes of " + name);  // no policy has such a name: it denies
  frontends_.insert_or_assign(name, std::move(refused));
}

absl::Status ConfigStore::UpsertCluster(const std::string& name, const std::string& bytes) {
  ASSIGN_OR_RETURN(const l7::Cluster proto, Parse<l7::Cluster>(bytes));
  ASSIGN_OR_RETURN(lb::ClusterOptions options, lb::ParseCluster(proto));
  clusters_.insert_or_assign(name, std::move(options));
  return absl::OkStatus();
}

absl::Status ConfigStore::UpsertPolicy(const std::string& name, const std::string& bytes) {
  ASSIGN_OR_RETURN(const l7::Policy proto, Parse<l7::Policy>(bytes));
  ASSIGN_OR_RETURN(filter::PolicyRef policy, filter::CompilePolicy(proto));
  policies_.insert_or_assign(name, std::move(policy));
  return absl::OkStatus();
}

absl::Status ConfigStore::UpsertAuthentication(const std::string& name, const std::string& bytes) {
  ASSIGN_OR_RETURN(l7::Authentication proto, Parse<l7::Authentication>(bytes));
  const l7::Authentication* const alone[] = {&proto};
  RETURN_IF_ERROR(filter::JwtRules::Compile(alone).status());
  authentications_.insert_or_assign(name,
                                    std::make_shared<const l7::Authentication>(std::move(proto)));
  return absl::OkStatus();
}

absl::Status ConfigStore::UpsertPeer(const std::string& name, const std::string& bytes) {
  ASSIGN_OR_RETURN(const l7::Peer proto, Parse<l7::Peer>(bytes));
  HeldPeer held;
  for (const auto& [key, value] : proto.labels()) {
    held.labels.emplace(key, value);
    held.label_map.emplace(key, value);
  }
  held.policies.assign(proto.policies().begin(), proto.policies().end());
  peers_.insert_or_assign(name, std::move(held));
  return absl::OkStatus();
}

std::shared_ptr<const filter::PolicySet> ConfigStore::PoliciesOf(
    const std::vector<std::string>& names) const {
  std::vector<filter::PolicyRef> policies;
  for (const std::string& name : names) {
    const auto it = policies_.find(name);
    policies.push_back(it == policies_.end() ? filter::MissingPolicy(name) : it->second);
  }
  return std::make_shared<filter::PolicySet>(std::move(policies));
}

std::shared_ptr<const filter::JwtRules> ConfigStore::TokensOf(
    const std::vector<std::string>& names, std::vector<std::string>& policies) const {
  std::vector<const l7::Authentication*> found;
  for (const std::string& name : names) {
    const auto it = authentications_.find(name);
    if (it != authentications_.end()) {
      found.push_back(it->second.get());
    } else {
      policies.push_back("RequestAuthentication " + name);  // no policy has such a name
    }
  }
  if (found.empty()) return nullptr;
  auto rules = filter::JwtRules::Compile(found);
  return rules.ok() ? *std::move(rules) : nullptr;  // each compiled alone already
}

ConfigRef ConfigStore::Publish(state::MeshStateRef state, absl::Time now) {
  auto config = std::make_shared<Config>();
  for (const auto& [name, held] : frontends_) {
    auto frontend = std::make_shared<Frontend>(held.compiled);
    std::vector<std::string> policies = held.policies;
    frontend->tokens = TokensOf(held.authentications, policies);
    frontend->policies = PoliciesOf(policies);
    config->frontends.emplace(name, std::move(frontend));
  }
  for (const auto& [uid, held] : peers_) {
    auto peer = std::make_shared<Peer>();
    peer->labels = held.labels;
    if (!held.policies.empty()) peer->policies = PoliciesOf(held.policies);
    config->peers.emplace(uid, std::move(peer));
  }
  const lb::LabelsOf labels = [this](std::string_view uid) -> const lb::Labels* {
    const auto it = peers_.find(uid);
    return it == peers_.end() ? nullptr : &it->second.label_map;
  };
  for (const auto& [name, options] : clusters_) {
    const lb::ClusterRef previous = last_ != nullptr ? last_->FindCluster(name) : nullptr;
    config->clusters.emplace(name,
                             lb::BuildCluster(name, options, *state, labels, previous.get(), now));
  }
  config->state = std::move(state);
  last_ = config;
  return config;
}

}  // namespace mesh::waypoint
