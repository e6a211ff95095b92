// The server's side of one delta-xDS stream as a state machine without I/O: requests and changes
// in, responses out.
//
// Each type has its own sequence: at most one response is unacknowledged, what changes meanwhile is
// remembered by name and goes out, as it then is, in the next one. So a slow client costs names,
// never copies, and holds nobody else. A client that does not acknowledge within kAckPatience is
// sent more all the same.
//
// Across types, make before break: policies that are new or changed, then addresses, then the end
// of policies. A workload that lists a policy which the client does not have would be under none.
// For waypoints likewise: what frontends and peers name, then those, then the end of what they
// named. Resources that are for one waypoint are told to it alone: it says which it is by the
// namespace and the label gateway.networking.k8s.io/gateway-name in its node metadata.
//
// The type Workload is the type Address without its services, a subscription of its own.
//
// Wildcard subscriptions get everything of the type. Others get what they named (by resource name
// or by network/ip), the endpoints of the services they named, and the workloads of their own node;
// aliases are filled in for them alone.
//
// Owner: Hub. Thread: the controller's.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/model/compiler.h"
#include "proto/discovery.pb.h"

namespace mesh::controller {

// What the session reads: the present state. Names are looked up in the order of on-demand clients:
// resource name, then address of a workload, then address of a service.
class ResourceView {
 public:
  virtual ~ResourceView() = default;
  virtual const Compiler::Resources& resources(ResourceType type) const = 0;
  virtual ResourceRef Find(ResourceType type, const std::string& name_or_alias) const = 0;
  // Names of the workloads that are endpoints of the service, or that run on the node.
  virtual std::vector<std::string> EndpointsOf(const std::string& service) const = 0;
  virtual std::vector<std::string> WorkloadsOn(const std::string& node) const = 0;
};

// What a person wants to know of one subscription.
struct TypeStatus {
  ResourceType type;
  bool workloads_only = false;  // asked for as istio.workload.Workload
  bool wildcard = false;
  size_t resources = 0;      // the client is known to have
  std::string sent_version;  // system version of the last response
  std::string acked_version;
  std::string nacked_version;
  std::string reason;  // of the last NACK
  absl::Time sent_at;
  std::string word;  // SYNCED, STALE (not acknowledged yet), NACK
};

class DeltaSession {
 public:
  using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;
  static constexpr absl::Duration kAckPatience = absl::Seconds(15);
  // A request that names more is refused, and so is one that would bring a client over it.
  static constexpr size_t kMaxSubscriptions = 100'000;

  // `id` makes nonces of different streams different.
  DeltaSession(std::string id, const ResourceView& view) : id_(std::move(id)), view_(view) {}

  // An error ends the stream with it.
  absl::Status OnRequest(const Request& request);

  // Names that changed (or went). Resources are read from the view when the response is made.
  void OnChanges(const std::vector<ResourceChange>& changes);

  // The next response that may be sent now, if any; `version` is the state's name in it.
  std::optional<Response> Next(const std::string& version, absl::Time now);

  const std::string& node_id() const { return node_id_; }      // empty before the first request
  const std::string& node_name() const { return node_name_; }  // metadata NODE_NAME
  const std::string& pod_name() const { return pod_name_; }
  const std::string& client_version() const { return client_version_; }
  std::vector<TypeStatus> Statuses() const;
  uint64_t nacks() const { return nacks_; }

 private:
  struct Subscription {
    bool started = false;
    bool wildcard = false;
    bool answer_due = false;                   // a response is owed even if it is empty
    std::set<std::string> names;               // asked for, by any name (not wildcard)
    std::map<std::string, std::string> known;  // resource name -> version the client has
    std::set<std::string> dirty;               // resource names to tell about
    std::set<std::string> gone;                // whose end may be told: no longer in `dirty`
    std::set<std::string> forced;              // to be sent even if the client has that version
    std::set<std::string> missing;             // asked for and not there; to be told
    std::string nonce;
    std::string version_in_flight;
    bool in_flight = false;
    TypeStatus status;
  };

  Subscription* SubscriptionTo(std::string_view type_url);  // null: a type that is not served
  bool Shows(const Subscription& subscription, const Resource& resource) const;
  absl::Status Start(const Request& request, Subscription& subscription);
  void Subscribe(const std::string& name, Subscription& subscription);
  void Unsubscribe(const std::string& name, Subscription& subscription);
  bool Wants(const Subscription& subscription, const ResourceChange& change) const;
  void OnAnswer(const Request& request, Subscription& subscription);
  static bool MaySend(const Subscription& subscription, absl::Time now);
  // Policies and addresses.
  std::optional<Response> NextForNodes(const std::string& version, absl::Time now);
  std::optional<Response> NextForWaypoints(const std::string& version, absl::Time now);
  void ReleaseGone(ResourceType type, Subscription& subscription) const;
  std::set<std::string> Take(ResourceType type, Subscription& subscription) const;
  bool HasNew(ResourceType type, const Subscription& subscription) const;
  std::optional<Response> Respond(ResourceType type, Subscription& subscription,
                                  const std::set<std::string>& names, const std::string& version,
                                  absl::Time now);
  Response Build(ResourceType type, Subscription& subscription, const std::set<std::string>& names,
                 const std::string& version);

  const std::string id_;
  const ResourceView& view_;
  std::string node_id_;
  std::string node_name_;
  std::string pod_name_;
  std::string client_version_;
  std::string waypoint_;  // namespace/name of the Gateway whose pod the client is; empty: none
  std::map<ResourceType, Subscription> subscriptions_;
  Subscription workloads_;
  uint64_t responses_ = 0;
  uint64_t nacks_ = 0;
};

}  // namespace mesh::controller
