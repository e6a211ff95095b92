// Which pods should exist, from the user's objects: Deployments, ReplicaSets,
// StatefulSets and bare Pods.
#pragma once

#include <string>
#include <vector>

#include "tools/meshctl/local/store.h"

namespace mesh::local {

// Pods that are alike: of one Deployment, ReplicaSet or StatefulSet, or one bare Pod.
struct PodSet {
  ObjectKey owner;
  std::string revision;            // changes when the pods have to be made anew
  std::vector<std::string> names;  // fixed names; empty for a Deployment or ReplicaSet
  std::string prefix;              // of the others' names: "reviews-v1-<hash>"
  int replicas = 1;
  Json pod;  // the Pod without name and status; labels and owner are filled in

  bool fixed_names() const { return prefix.empty(); }
};

std::vector<PodSet> PlanPods(const ObjectStore& user);

}  // namespace mesh::local
