#include "agent/controller/xds/delta_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/k8s/labels.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

constexpr char kWildcard[] = "*";

bool Contains(const google::protobuf::RepeatedPtrField<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string MetadataOf(const envoy::service::discovery::v3::Node& node, const std::string& key) {
  const auto it = node.metadata().fields().find(key);
  return it == node.metadata().fields().end() ? "" : it->second.string_value();
}

// namespace/name of the Gateway that the client is a pod of.
std::string WaypointOf(const envoy::service::discovery::v3::Node& node) {
  const auto labels = node.metadata().fields().find("LABELS");
  if (labels == node.metadata().fields().end()) return "";
  const auto& told = labels->second.struct_value().fields();
  const auto name = told.find(k8s::kGatewayNameLabel);
  if (name == told.end() || name->second.string_value().empty()) return "";
  return MetadataOf(node, "NAMESPACE") + "/" + name->second.string_value();
}

// What waypoints are told, in this order; the last two name the others.
constexpr ResourceType kForWaypoints[] = {ResourceType::kPolicy,    ResourceType::kAuthentication,
                                          ResourceType::kTelemetry, ResourceType::kPeer,
                                          ResourceType::kCluster,   ResourceType::kFrontend};
bool IsNamed(ResourceType type) {
  return type != ResourceType::kPeer && type != ResourceType::kFrontend;
}

// <type>~<ip>~<id>~<domain>
bool IsNodeId(std::string_view id) { return std::count(id.begin(), id.end(), '~') == 3; }

}  // namespace

absl::Status DeltaSession::OnRequest(const Request& request) {
  if (node_id_.empty()) {
    if (!IsNodeId(request.node().id())) {
      return Invalid("the first request must carry a node id TYPE~IP~ID~DOMAIN, not \"{}\"",
                     request.node().id());
    }
    node_id_ = request.node().id();
    node_name_ = MetadataOf(request.node(), "NODE_NAME");
    pod_name_ = MetadataOf(request.node(), "NAME");
    client_version_ = MetadataOf(request.node(), "ISTIO_VERSION");
    waypoint_ = WaypointOf(request.node());
  }
  Subscription* const found = SubscriptionTo(request.type_url());
  if (found == nullptr) return absl::OkStatus();  // a type that is not served is never answered
  Subscription& subscription = *found;
  if (!subscription.started) return Start(request, subscription);
  if (!request.response_nonce().empty()) {
    if (request.response_nonce() != subscription.nonce) return absl::OkStatus();  // stale
    OnAnswer(request, subscription);
  }
  if (subscription.names.size() + request.resource_names_subscribe_size() > kMaxSubscriptions) {
    return ResourceExhausted("more than {} names subscribed", kMaxSubscriptions);
  }
  for (const std::string& name : request.resource_names_subscribe()) Subscribe(name, subscription);
  for (const std::string& name : request.resource_names_unsubscribe()) {
    Unsubscribe(name, subscription);
  }
  return absl::OkStatus();
}

DeltaSession::Subscription* DeltaSession::SubscriptionTo(std::string_view type_url) {
  if (type_url == kWorkloadUrl) {
    workloads_.status.type = ResourceType::kAddress;
    workloads_.status.workloads_only = true;
    return &workloads_;
  }
  for (const ResourceType type : kResourceTypes) {
    if (type_url != UrlOf(type)) continue;
    Subscription& subscription = subscriptions_[type];
    subscription.status.type = type;
    return &subscription;
  }
  return nullptr;
}

bool DeltaSession::Shows(const Subscription& subscription, const Resource& resource) const {
  if (subscription.status.workloads_only && !resource.workload) return false;
  const auto& waypoints = resource.waypoints;
  return waypoints.empty() ||
         std::find(waypoints.begin(), waypoints.end(), waypoint_) != waypoints.end();
}

absl::Status DeltaSession::Start(const Request& request, Subscription& subscription) {
  if (static_cast<size_t>(request.resource_names_subscribe_size()) > kMaxSubscriptions) {
    return ResourceExhausted("more than {} names subscribed", kMaxSubscriptions);
  }
  const ResourceType type = subscription.status.type;
  subscription.started = true;
  const auto& names = request.resource_names_subscribe();
  subscription.wildcard = (names.empty() || Contains(names, kWildcard)) &&
                          !Contains(request.resource_names_unsubscribe(), kWildcard);
  subscription.status.wildcard = subscription.wildcard;
  subscription.known.insert(request.initial_resource_versions().begin(),
                            request.initial_resource_versions().end());
  const auto& all = view_.resources(type);
  subscription.answer_due = true;  // a client counts itself ready by the first answer
  if (subscription.wildcard) {
    for (const auto& [name, resource] : all) subscription.dirty.insert(name);
  } else {
    for (const std::string& name : view_.WorkloadsOn(node_name_)) {
      if (type == ResourceType::kAddress) subscription.dirty.insert(name);
    }
  }
  for (const auto& [name, version] : subscription.known) subscription.dirty.insert(name);
  // Policies are always sent anew: a client that lost one would not know.
  if (type == ResourceType::kAuthorization || type == ResourceType::kPolicy) {
    for (const std::string& name : subscription.dirty) {
      if (all.count(name) != 0) subscription.forced.insert(name);
    }
  }
  // Names that a client still waits for come with an empty version.
  for (const auto& [name, version] : request.initial_resource_versions()) {
    if (!subscription.wildcard && version.empty()) {
      subscription.known.erase(name);
      subscription.dirty.erase(name);
      Subscribe(name, subscription);
    }
  }
  for (const std::string& name : names) {
    if (name != kWildcard) Subscribe(name, subscription);
  }
  return absl::OkStatus();
}

void DeltaSession::Subscribe(const std::string& name, Subscription& subscription) {
  const ResourceType type = subscription.status.type;
  if (name == kWildcard) {
    subscription.wildcard = subscription.status.wildcard = true;
    subscription.answer_due = true;
    for (const auto& [known, resource] : view_.resources(type)) subscription.dirty.insert(known);
    return;
  }
  if (!subscription.wildcard) subscription.names.insert(name);
  const ResourceRef resource = view_.Find(type, name);
  if (resource == nullptr || !Shows(subscription, *resource)) {
    subscription.missing.insert(name);
    return;
  }
  subscription.dirty.insert(resource->name);
  subscription.forced.insert(resource->name);  // who asks is answered
  if (type != ResourceType::kAddress || subscription.wildcard) return;
  for (const std::string& endpoint : view_.EndpointsOf(resource->name)) {
    subscription.dirty.insert(endpoint);
  }
  subscription.names.insert(resource->name);
}

void DeltaSession::Unsubscribe(const std::string& name, Subscription& subscription) {
  if (name == kWildcard) {
    subscription.wildcard = subscription.status.wildcard = false;
    return;
  }
  subscription.names.erase(name);
  subscription.missing.erase(name);
  if (!subscription.wildcard) subscription.known.erase(name);
}

void DeltaSession::OnAnswer(const Request& request, Subscription& subscription) {
  subscription.in_flight = false;
  if (request.has_error_detail()) {
    ++nacks_;
    subscription.status.nacked_version = subscription.version_in_flight;
    subscription.status.reason = request.error_detail().message();
    if (subscription.status.reason.size() > 4096) subscription.status.reason.resize(4096);
  } else {
    subscription.status.acked_version = subscription.version_in_flight;
    subscription.status.nacked_version.clear();
    subscription.status.reason.clear();
  }
}

bool DeltaSession::Wants(const Subscription& subscription, const ResourceChange& change) const {
  if (change.resource != nullptr && !Shows(subscription, *change.resource)) {
    return subscription.known.count(change.name) != 0;  // it is another's now
  }
  if (subscription.wildcard || subscription.known.count(change.name) != 0 ||
      subscription.names.count(change.name) != 0) {
    return true;
  }
  if (change.resource == nullptr) return false;
  if (change.type == ResourceType::kAddress && !node_name_.empty() &&
      change.resource->owner == node_name_) {
    return true;
  }
  const auto named = [&subscription](const std::string& name) {
    return subscription.names.count(name) != 0;
  };
  return std::any_of(change.resource->aliases.begin(), change.resource->aliases.end(), named) ||
         std::any_of(change.resource->services.begin(), change.resource->services.end(), named);
}

void DeltaSession::OnChanges(const std::vector<ResourceChange>& changes) {
  const auto note = [&](Subscription& subscription) {
    if (!subscription.started) return;
    for (const ResourceChange& change : changes) {
      if (change.type == subscription.status.type && Wants(subscription, change)) {
        subscription.dirty.insert(change.name);
        subscription.gone.erase(change.name);
      }
    }
  };
  for (auto& [type, subscription] : subscriptions_) note(subscription);
  note(workloads_);
}

std::optional<DeltaSession::Response> DeltaSession::Next(const std::string& version,
                                                         absl::Time now) {
  auto response = NextForNodes(version, now);
  if (!response && MaySend(workloads_, now)) {
    response = Respond(ResourceType::kAddress, workloads_, std::exchange(workloads_.dirty, {}),
                       version, now);
  }
  return response ? response : NextForWaypoints(version, now);
}

bool DeltaSession::MaySend(const Subscription& subscription, absl::Time now) {
  return subscription.started &&
         !(subscription.in_flight && now - subscription.status.sent_at < kAckPatience);
}

std::optional<DeltaSession::Response> DeltaSession::NextForNodes(const std::string& version,
                                                                 absl::Time now) {
  constexpr ResourceType kPolicies = ResourceType::kAuthorization;
  Subscription& policies = subscriptions_[kPolicies];
  Subscription& addresses = subscriptions_[ResourceType::kAddress];
  if (addresses.dirty.empty()) ReleaseGone(kPolicies, policies);
  if (MaySend(policies, now)) {
    auto response = Respond(kPolicies, policies, Take(kPolicies, policies), version, now);
    if (response) return response;
  } else if (HasNew(kPolicies, policies)) {
    return std::nullopt;
  }
  if (!MaySend(addresses, now)) return std::nullopt;
  const std::set<std::string> names = std::exchange(addresses.dirty, {});
  ReleaseGone(kPolicies, policies);
  auto response = Respond(ResourceType::kAddress, addresses, names, version, now);
  if (response || !MaySend(policies, now)) return response;
  return Respond(kPolicies, policies, Take(kPolicies, policies), version, now);
}

std::optional<DeltaSession::Response> DeltaSession::NextForWaypoints(const std::string& version,
                                                                     absl::Time now) {
  const bool told = subscriptions_[ResourceType::kPeer].dirty.empty() &&
                    subscriptions_[ResourceType::kFrontend].dirty.empty();
  for (const ResourceType type : kForWaypoints) {
    Subscription& subscription = subscriptions_[type];
    if (!subscription.started) continue;
    if (told || !IsNamed(type)) ReleaseGone(type, subscription);
    if (MaySend(subscription, now)) {
      auto response = Respond(type, subscription, Take(type, subscription), version, now);
      if (response) return response;
    } else if (HasNew(type, subscription)) {
      return std::nullopt;  // what comes after may name it
    }
  }
  return std::nullopt;
}

bool DeltaSession::HasNew(ResourceType type, const Subscription& subscription) const {
  const auto& all = view_.resources(type);
  return std::any_of(subscription.dirty.begin(), subscription.dirty.end(),
                     [&all](const auto& name) { return all.contains(name); });
}

// Everything that named these has been told of, as it now is.
void DeltaSession::ReleaseGone(ResourceType type, Subscription& subscription) const {
  const auto& all = view_.resources(type);
  for (auto it = subscription.dirty.begin(); it != subscription.dirty.end();) {
    const auto next = std::next(it);
    if (!all.contains(*it)) subscription.gone.insert(subscription.dirty.extract(it));
    it = next;
  }
}

// Those that are there, and those whose end may be told.
std::set<std::string> DeltaSession::Take(ResourceType type, Subscription& subscription) const {
  const auto& all = view_.resources(type);
  std::set<std::string> names = std::exchange(subscription.gone, {});
  for (auto it = subscription.dirty.begin(); it != subscription.dirty.end();) {
    const auto next = std::next(it);
    if (all.contains(*it)) names.insert(subscription.dirty.extract(it));
    it = next;
  }
  return names;
}

std::optional<DeltaSession::Response> DeltaSession::Respond(ResourceType type,
                                                            Subscription& subscription,
                                                            const std::set<std::string>& names,
                                                            const std::string& version,
                                                            absl::Time now) {
  const bool owed = subscription.answer_due || !subscription.missing.empty();
  if (!owed && names.empty()) return std::nullopt;
  Response response = Build(type, subscription, names, version);
  if (!owed && response.resources().empty() && response.removed_resources().empty()) {
    return std::nullopt;
  }
  subscription.nonce = response.nonce();
  subscription.in_flight = true;
  subscription.version_in_flight = version;
  subscription.status.sent_version = version;
  subscription.status.sent_at = now;
  return response;
}

DeltaSession::Response DeltaSession::Build(ResourceType type, Subscription& subscription,
                                           const std::set<std::string>& names,
                                           const std::string& version) {
  Response response;
  const std::string_view url = subscription.status.workloads_only ? kWorkloadUrl : UrlOf(type);
  response.set_type_url(std::string(url));
  response.set_system_version_info(version);
  response.set_nonce(fmt::format("{}-{}-{}", version, id_, ++responses_));
  const auto& all = view_.resources(type);
  for (const std::string& name : names) {
    const bool forced = subscription.forced.erase(name) != 0;
    const auto found = all.find(name);
    if (found == all.end() || !Shows(subscription, *found->second)) {
      if (subscription.known.erase(name) != 0 || subscription.names.count(name) != 0) {
        response.add_removed_resources(name);
      }
      continue;
    }
    const Resource& resource = *found->second;
    std::string& known = subscription.known[name];
    if (known == resource.version && !forced) continue;
    known = resource.version;
    auto& sent = *response.add_resources();
    sent.set_name(name);
    sent.set_version(resource.version);
    sent.mutable_resource()->set_type_url(std::string(url));
    sent.mutable_resource()->set_value(
        subscription.status.workloads_only ? std::string(WorkloadBody(resource)) : resource.body);
    if (!subscription.wildcard) {
      for (const std::string& alias : resource.aliases) sent.add_aliases(alias);
    }
  }
  for (const std::string& name : subscription.missing) response.add_removed_resources(name);
  subscription.missing.clear();
  subscription.answer_due = false;
  return response;
}

std::vector<TypeStatus> DeltaSession::Statuses() const {
  std::vector<TypeStatus> statuses;
  const auto add = [&statuses](const Subscription& subscription) {
    if (!subscription.started) return;
    TypeStatus status = subscription.status;
    status.resources = subscription.known.size();
    if (!status.nacked_version.empty()) {
      status.word = "NACK";
    } else {
      const bool behind =
          subscription.in_flight || !subscription.dirty.empty() || !subscription.gone.empty();
      status.word = behind ? "STALE" : "SYNCED";
    }
    statuses.push_back(std::move(status));
  };
  for (const auto& [type, subscription] : subscriptions_) add(subscription);
  add(workloads_);
  return statuses;
}

}  // namespace mesh::controller
