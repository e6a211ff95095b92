#include "tools/meshctl/local/workloads.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/meshctl/local/layout.h"

namespace mesh::local {
namespace {

Json Owner(std::string_view api, std::string_view kind, const std::string& name,
           const std::string& ns) {
  const std::string hash = ShortHash(fmt::format("{}/{}/{}", kind, ns, name), 12);
  return Json::Obj({{"apiVersion", api},
                    {"kind", kind},
                    {"name", name},
                    {"uid", "local-" + hash},
                    {"controller", true},
                    {"blockOwnerDeletion", true}});
}

Json FromTemplate(const Json& workload, const ObjectKey& key) {
  const Json& pod_template = workload.Get({"spec", "template"});
  Json pod = Json::Obj({{"apiVersion", "v1"}, {"kind", "Pod"}});
  pod["metadata"]["namespace"] = key.ns;
  if (pod_template.Get({"metadata", "labels"}).IsObject()) {
    pod["metadata"]["labels"] = pod_template.Get({"metadata", "labels"});
  }
  if (pod_template.Get({"metadata", "annotations"}).IsObject()) {
    pod["metadata"]["annotations"] = pod_template.Get({"metadata", "annotations"});
  }
  pod["spec"] = pod_template.At("spec");
  return pod;
}

int Replicas(const Json& workload) {
  const Json& replicas = workload.Get({"spec", "replicas"});
  return replicas.IsNull() ? 1 : std::clamp(replicas.Int(), 0, 200);
}

PodSet OfDeployment(const Json& deployment, const ObjectKey& key) {
  PodSet set{
      key, ShortHash(deployment.Get({"spec", "template"}).Dump(), 10), {}, "", Replicas(deployment),
      {}};
  set.prefix = key.name + "-" + set.revision;
  set.pod = FromTemplate(deployment, key);
  set.pod["metadata"]["labels"]["pod-template-hash"] = set.revision;
  set.pod["metadata"]["generateName"] = set.prefix + "-";
  set.pod["metadata"]["ownerReferences"].Push(Owner("apps/v1", "ReplicaSet", set.prefix, key.ns));
  return set;
}

// As in Kubernetes, a changed template is for new pods only: a ReplicaSet has one revision.
PodSet OfReplicaSet(const Json& replicas, const ObjectKey& key) {
  PodSet set{key, "replicaset", {}, key.name, Replicas(replicas), FromTemplate(replicas, key)};
  set.pod["metadata"]["generateName"] = key.name + "-";
  set.pod["metadata"]["ownerReferences"].Push(Owner("apps/v1", "ReplicaSet", key.name, key.ns));
  return set;
}

PodSet OfStatefulSet(const Json& stateful, const ObjectKey& key) {
  PodSet set{
      key, ShortHash(stateful.Get({"spec", "template"}).Dump(), 10), {}, "", Replicas(stateful),
      {}};
  set.pod = FromTemplate(stateful, key);
  set.pod["metadata"]["labels"]["controller-revision-hash"] = key.name + "-" + set.revision;
  set.pod["metadata"]["generateName"] = key.name + "-";
  set.pod["metadata"]["ownerReferences"].Push(Owner("apps/v1", "StatefulSet", key.name, key.ns));
  if (stateful.Get({"spec", "serviceName"}).IsString()) {
    set.pod["spec"]["subdomain"] = stateful.Get({"spec", "serviceName"});
  }
  const int start = stateful.Get({"spec", "ordinals", "start"}).Int();
  for (int i = 0; i < set.replicas; ++i)
    set.names.push_back(fmt::format("{}-{}", key.name, start + i));
  return set;
}

PodSet OfPod(const Json& pod, const ObjectKey& key) {
  PodSet set{key, ShortHash(pod.At("spec").Dump(), 10), {key.name}, "", 1, pod};
  set.pod["metadata"]["namespace"] = key.ns;
  set.pod.Erase("status");
  return set;
}

}  // namespace

std::vector<PodSet> PlanPods(const ObjectStore& user) {
  std::vector<PodSet> plan;
  for (const auto& [key, object] : user.objects()) {
    if (object.Get({"spec"}).IsNull()) continue;
    if (key.kind == "Deployment") plan.push_back(OfDeployment(object, key));
    if (key.kind == "ReplicaSet") plan.push_back(OfReplicaSet(object, key));
    if (key.kind == "StatefulSet") plan.push_back(OfStatefulSet(object, key));
    if (key.kind == "Pod") plan.push_back(OfPod(object, key));
  }
  // Pods that name their node come first: the others are spread around them.
  std::partition(plan.begin(), plan.end(),
                 [](const PodSet& set) { return set.owner.kind == "Pod"; });
  return plan;
}

}  // namespace mesh::local
