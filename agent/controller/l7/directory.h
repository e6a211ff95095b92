// The services that L7 rules speak of: Kubernetes Services and hosts of ServiceEntries, with what
// waypoints must know of them.
//
// Owner: the compiler, which keeps it up. Thread: one.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/model/settings.h"
#include "agent/controller/translate/waypoint.h"
#include "agent/k8s/object.h"
#include "proto/l7_frontend.pb.h"

namespace mesh::controller {

struct L7Port {
  uint32_t number = 0;
  mesh::l7::v1::Frontend::Protocol protocol = mesh::l7::v1::Frontend::DETECT;
  bool operator==(const L7Port&) const = default;
};

struct L7Service {
  k8s::Key object;  // the Service or ServiceEntry
  std::string host;
  std::vector<L7Port> ports;
  bool external = false;     // outside the mesh
  bool passthrough = false;  // endpoints are whatever address was asked for
  std::vector<std::string> subject_alt_names;
  std::optional<WaypointRef> waypoint;  // bound and admitted
  bool operator==(const L7Service&) const = default;

  const std::string& ns() const { return object.ns; }
  std::string Name() const { return object.ns + "/" + host; }
};

L7Service L7ServiceOf(const api::Service& service, const Settings& settings);
L7Service L7ServiceOf(const api::ServiceEntry& entry, const std::string& host);

class L7Directory {
 public:
  // What an object is known as; empty: no more. True when that changed anything.
  bool Set(const k8s::Key& object, std::vector<L7Service> services);

  // The service that a rule of `ns` means by a host: of its own namespace, else a Kubernetes
  // Service, else the first. Null: unknown.
  const L7Service* Find(const std::string& host, const std::string& ns) const;
  // All, by object.
  const std::map<k8s::Key, std::vector<L7Service>>& all() const { return services_; }
  size_t behind_waypoints() const { return behind_waypoints_; }

 private:
  std::map<k8s::Key, std::vector<L7Service>> services_;
  std::map<std::string, std::set<k8s::Key>> by_host_;
  size_t behind_waypoints_ = 0;
};

}  // namespace mesh::controller
