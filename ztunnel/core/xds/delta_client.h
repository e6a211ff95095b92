// Delta xDS, client side, as a state machine without I/O: responses in, requests and applied
// resources out.
//
// Order for one stream: Open, then OnResponse and Demand as they come, then Close; then Open again.
// What was learned stays between streams and is told to the server by name and version, so that
// only changes come back. On each stream policies come first: addresses are asked for when policies
// were answered, and the end of a policy takes effect when the first addresses have come. So no
// workload is without a policy that it had or is to have. Owner: XdsClient. Thread: the one that
// owns the StateStore behind `sink`.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/discovery.pb.h"
#include "ztunnel/base/string_map.h"

namespace mesh::xds {

using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;
using Resource = envoy::service::discovery::v3::Resource;
using Node = envoy::service::discovery::v3::Node;

inline constexpr std::string_view kAddressType = "type.googleapis.com/istio.workload.Address";
inline constexpr std::string_view kAuthorizationType =
    "type.googleapis.com/istio.security.Authorization";

// Where resources go.
class ResourceSink {
 public:
  virtual ~ResourceSink() = default;
  // An error refuses this resource alone; the version before it stays.
  virtual absl::Status Upsert(std::string_view type_url, const Resource& resource) = 0;
  virtual void Remove(std::string_view type_url, std::string_view name) = 0;
};

class DeltaClient {
 public:
  // Names asked for on demand and remembered; beyond it the oldest is unsubscribed, and its
  // resource let go when it came for such names alone and none is left. What came otherwise (the
  // node's own workloads, endpoints of a service, changes) stays.
  static constexpr size_t kMaxDemanded = 65'536;

  struct Options {
    Node node;
    bool addresses_on_demand = false;  // XDS_ON_DEMAND; policies are always complete
    std::vector<std::string> more_types =
        {};  // complete; asked for in this order after the addresses
  };
  DeltaClient(Options options, ResourceSink& sink);

  // The first request of a new stream, which is for policies.
  Request Open();
  void Close();

  struct Outcome {
    std::optional<Request> reply;      // ACK, or NACK naming what was refused
    std::vector<Request> next;         // the first requests for addresses and more types
    std::vector<std::string> arrived;  // on demand: names, aliases and removed names, for who waits
    Response accepted;                 // the response without what was refused
    Response ended;                    // policies whose end has waited for addresses
    size_t rejected = 0;
  };
  // Applies the good part, which moves into the outcome. A type that was never asked for has no
  // effect and no reply.
  Outcome OnResponse(Response& response);

  enum class Demanded { kAnswered, kPending, kAsk };
  // Wants one address by name (uid, namespace/hostname or network/ip). kAsk: send `requests`.
  Demanded Demand(const std::string& name, std::vector<Request>& requests);
  // What demands have let go since the last call; the sink knows already.
  Response TakeReleased() { return std::exchange(released_, {}); }

  // A resource of an earlier run, already given to the sink; then, once, that these were all.
  void Restore(std::string_view type_url, const std::string& name, const std::string& version);
  void RestoreDone();

  // Every wildcard type has been answered (or restored) once.
  bool Ready() const;
  size_t held(std::string_view type_url) const;

 private:
  struct Held {
    std::string version;
    bool current = true;   // false: its last version was refused, so it is not told to the server
    bool unheard = false;  // not told on this stream and not yet mentioned by the server
    bool unasked = false;  // on demand: came with what was asked for, or of the server's accord
    std::vector<std::string> demands;  // on demand: names that were asked for and stand for it
  };
  struct Demanding {
    bool answered = false;
    std::string resource;  // that it stands for; empty: none
  };
  struct Type {
    std::string_view url;
    bool wildcard = true;
    bool answered = false;       // ever
    bool answered_here = false;  // on this stream
    StringMap<Held> held;
  };

  Type* Find(std::string_view url);
  Request FirstRequest(Type& type);
  void Apply(Type& type, Response& response, Outcome& outcome, std::string& reasons);
  void Remove(Type& type, const std::string& name, Response& accepted);
  void ForgetUnheard(Type& type, Outcome& outcome);
  void EndPolicies(Outcome& outcome);
  void Answered(const std::vector<std::string>& names);
  void Bind(const Resource& resource, bool with_services);
  void Unbind(const std::string& name, Demanding& demand);
  void ForgetOldest(std::vector<Request>& requests);

  const Options options_;
  ResourceSink& sink_;
  Type addresses_;
  Type policies_;
  std::vector<Type> more_;
  std::set<std::string, std::less<>> ending_;  // policies removed before the stream's addresses
  bool open_ = false;
  bool asked_ = false;  // for addresses, on this stream
  StringMap<Demanding> demanded_;
  Response released_;
  std::deque<std::string> demand_order_;
};

}  // namespace mesh::xds
