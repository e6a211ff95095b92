// Which waypoint an object's traffic goes through: the labels istio.io/use-waypoint and
// istio.io/use-waypoint-namespace of the object, else of its namespace, resolved against the
// Gateways. Every Gateway that has an address can serve as one.
#pragma once

#include <optional>
#include <string>

#include "agent/controller/model/settings.h"
#include "agent/k8s/labels.h"
#include "agent/k8s/object.h"
#include "proto/workload.pb.h"

namespace mesh::controller {

enum class TrafficType { kService, kWorkload, kAny };

struct WaypointRef {
  std::string ns;
  std::string name;
  auto operator<=>(const WaypointRef&) const = default;
  std::string ToString() const { return ns + "/" + name; }
};

// What the labels ask for, whether it exists or not; none when nothing does, when the object opts
// out, and for the pods and services of a waypoint itself. `space` may be null.
struct WaypointWish {
  WaypointRef ref;
  bool own = false;  // the object's own label, not its namespace's
};
std::optional<WaypointWish> WaypointWishOf(const api::ObjectMeta& meta, const k8s::Labels& labels,
                                           const api::Namespace* space);

// Whether an object says that it has none, or belongs to a waypoint.
bool OptsOutOfWaypoints(const k8s::Labels& labels, const api::Namespace* space);

// Not granted: `address` is empty and `condition` says why.
struct WaypointBinding {
  WaypointRef ref;
  bool own = false;  // as wished
  std::optional<istio::workload::GatewayAddress> address;
  api::Condition condition;  // istio.io/WaypointBound
};
struct WaypointObjects {
  const api::Namespace* space = nullptr;     // of the object
  const api::Gateway* gateway = nullptr;     // the one wished for
  const api::GatewayClass* klass = nullptr;  // of the gateway
};
WaypointBinding BindWaypoint(const WaypointWish& wish, const std::string& ns, TrafficType type,
                             const WaypointObjects& objects, const Settings& settings);

inline constexpr char kWaypointClass[] = "istio-waypoint";
inline constexpr char kManagedLabel[] = "gateway.istio.io/managed";
inline constexpr char kManagedByUs[] = "istio.io-mesh-controller";

// Who a waypoint's pods are: the service account that is called as the Gateway.
std::string IdentityOf(const WaypointRef& ref, const Settings& settings);
// Where a waypoint is, or will be when its pods are there.
istio::workload::GatewayAddress AddressOfWaypoint(const api::Gateway& gateway,
                                                  const Settings& settings);

// How a waypoint's pods take what arrives, from the gateway's annotation or its class's.
std::optional<istio::workload::ApplicationTunnel> ApplicationTunnelOf(
    const api::Gateway& gateway, const api::GatewayClass* klass);

// Name of the policy that admits a waypoint to the workloads behind it.
std::string AutoAllowKey(const std::string& ns, const std::string& name);

// The label istio.io/ingress-use-waypoint of the object, else of its namespace; empty: none.
std::string IngressUseOf(const api::ObjectMeta& meta, const api::Namespace* space);

}  // namespace mesh::controller
