// ServiceEntry and WorkloadEntry -> istio.workload.Service and Workload.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/model/settings.h"
#include "agent/controller/translate/workload.h"
#include "agent/k8s/object.h"
#include "proto/workload.pb.h"

namespace mesh::controller {

// One host of an entry as a service; the caller adds the waypoint. `automatic` are its automatic
// addresses, used where the entry names none.
istio::workload::Service TranslateHost(const api::ServiceEntry& entry, const std::string& host,
                                       const std::vector<std::string>& automatic, bool canonical,
                                       const api::Namespace* space, const Settings& settings);

// Hosts that get automatic addresses: of entries without addresses that do not pass through, did
// not opt out, and are no wildcards.
std::vector<std::string> HostsToAllocate(const api::ServiceEntry& entry);

// Whether all hosts are wildcards, which do nothing without a waypoint.
bool NeedsWaypoint(const api::ServiceEntry& entry);

// The entry's ports as a selected pod or WorkloadEntry serves them.
istio::workload::PortList PortsOn(const api::ServiceEntry& entry, const api::Pod& pod);
istio::workload::PortList PortsOn(const api::ServiceEntry& entry,
                                  const api::WorkloadEntrySpec& endpoint);
// The ports of a Service as a WorkloadEntry serves them: by the name of the port or of its target.
istio::workload::PortList PortsOn(const api::Service& service,
                                  const api::WorkloadEntrySpec& endpoint);

// An endpoint of an entry with what its labels say of policies and waypoint filled in by the
// caller; `hosts` are those of the entry's hosts that are its own (not another's of the same name).
struct EntryEndpoint {
  k8s::Labels labels;  // of the endpoint
  istio::workload::Workload workload;
};
std::vector<EntryEndpoint> TranslateEndpoints(const api::ServiceEntry& entry,
                                              const std::set<std::string>& hosts,
                                              const Settings& settings);

// Labels of a WorkloadEntry: those of its spec over those of its metadata.
k8s::Labels LabelsOf(const api::WorkloadEntry& entry);
std::string UidOf(const api::WorkloadEntry& entry, const Settings& settings);
istio::workload::Workload TranslateWorkloadEntry(const api::WorkloadEntry& entry,
                                                 const Settings& settings);

}  // namespace mesh::controller
