// Pods and endpoints listed by hand -> istio.workload.Workload.
#pragma once

#include <string>
#include <vector>

#include "agent/controller/model/settings.h"
#include "agent/k8s/labels.h"
#include "proto/api/kube_core.pb.h"
#include "proto/workload.pb.h"

namespace mesh::controller {

// Pods that have an address and have not ended.
bool IsSent(const api::Pod& pod);
std::string UidOf(const api::Pod& pod, const Settings& settings);  // resource name
std::string ServiceAccountOf(const api::Pod& pod);                 // "default" when unset

// The name of the Deployment, StatefulSet, Job ... that a pod belongs to, else its own. Only pods
// with a generateName are asked for their owner.
std::string WorkloadNameOf(const api::Pod& pod);

// Canonical name and revision by the labels, else `name` and "latest".
void AddCanonical(const k8s::Labels& labels, const std::string& name,
                  istio::workload::Workload& out);

struct WorkloadContext {
  const api::Node* node = nullptr;            // null: unknown
  std::vector<const api::Service*> services;  // those that select it
};
// Without what objects of other kinds say of it: policies and waypoint.
istio::workload::Workload TranslatePod(const api::Pod& pod, const WorkloadContext& context,
                                       const Settings& settings);

// One workload for each endpoint that is no pod, with its resource name as uid.
std::vector<istio::workload::Workload> TranslateSlice(const api::EndpointSlice& slice,
                                                      const api::Service& service,
                                                      const Settings& settings);

}  // namespace mesh::controller
