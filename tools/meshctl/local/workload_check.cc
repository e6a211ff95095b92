#include "tools/meshctl/local/workload_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tools/meshctl/local/pod_env.h"

namespace mesh::local {
namespace {

using meshctl::Json;

constexpr std::array<std::string_view, 12> kIgnoredInPod = {"securityContext",
                                                            "affinity",
                                                            "tolerations",
                                                            "topologySpreadConstraints",
                                                            "priorityClassName",
                                                            "dnsPolicy",
                                                            "dnsConfig",
                                                            "runtimeClassName",
                                                            "hostPID",
                                                            "hostIPC",
                                                            "shareProcessNamespace",
                                                            "schedulerName"};
constexpr std::array<std::string_view, 4> kIgnoredInContainer = {"securityContext", "resources",
                                                                 "lifecycle", "volumeDevices"};

template <size_t N>
void AddIgnored(const Json& object, const std::string& at,
                const std::array<std::string_view, N>& fields, std::vector<Remark>& remarks) {
  for (const std::string_view field : fields) {
    if (object.Has(field))
      remarks.push_back({fmt::format("{}.{}", at, field), "ignored in local mode"});
  }
}

void CheckEnv(const Json& container, const std::string& at, std::vector<Remark>& remarks) {
  int index = 0;
  for (const Json& item : container.At("env").Items()) {
    const std::string from = fmt::format("{}.env[{}].valueFrom", at, index++);
    for (const char* ref : {"secretKeyRef", "resourceFieldRef"}) {
      if (item.At("valueFrom").Has(ref))
        remarks.push_back({fmt::format("{}.{}", from, ref), "not supported in local mode", true});
    }
    const Json& field = item.Get({"valueFrom", "fieldRef", "fieldPath"});
    if (item.At("valueFrom").Has("fieldRef") && !IsPodField(field.Str())) {
      remarks.push_back(
          {from + ".fieldRef.fieldPath",
           fmt::format("\"{}\" is no field that a pod has in local mode", field.Str()), true});
    }
  }
  index = 0;
  for (const Json& source : container.At("envFrom").Items()) {
    if (source.Has("secretRef")) {
      remarks.push_back({fmt::format("{}.envFrom[{}].secretRef", at, index),
                         "not supported in local mode", true});
    }
    ++index;
  }
}

void CheckContainer(const Json& container, const std::string& at, std::vector<Remark>& remarks) {
  CheckEnv(container, at, remarks);
  AddIgnored(container, at, kIgnoredInContainer, remarks);
  for (const char* probe : {"readinessProbe", "livenessProbe", "startupProbe"}) {
    if (container.At(probe).Has("grpc")) {
      remarks.push_back({fmt::format("{}.{}.grpc", at, probe),
                         "local mode checks only that the port takes a connection"});
    }
  }
}

void CheckVolumes(const Json& spec, const std::string& at, std::vector<Remark>& remarks) {
  std::string names;
  for (const Json& volume : spec.At("volumes").Items())
    names += (names.empty() ? "" : ", ") + volume.At("name").Str();
  if (names.empty()) return;
  remarks.push_back(
      {at + ".volumes", fmt::format("{}: not mounted in local mode, programs see the files of this "
                                    "machine",
                                    names)});
}

}  // namespace

std::vector<Remark> CheckWorkload(const Json& object) {
  std::vector<Remark> remarks;
  const std::string kind = object.At("kind").Str();
  const bool templated = kind == "Deployment" || kind == "ReplicaSet" || kind == "StatefulSet";
  if (!templated && kind != "Pod") return remarks;
  const std::string at = templated ? "spec.template.spec" : "spec";
  const Json& spec = templated ? object.Get({"spec", "template", "spec"}) : object.At("spec");
  for (const char* list : {"initContainers", "containers"}) {
    int index = 0;
    for (const Json& container : spec.At(list).Items())
      CheckContainer(container, fmt::format("{}.{}[{}]", at, list, index++), remarks);
  }
  CheckVolumes(spec, at, remarks);
  if (object.Get({"spec", "volumeClaimTemplates"}).IsArray())
    remarks.push_back({"spec.volumeClaimTemplates", "ignored in local mode"});
  AddIgnored(spec, at, kIgnoredInPod, remarks);
  for (const auto& [label, value] : spec.At("nodeSelector").Members()) {
    if (label != "kubernetes.io/hostname")
      remarks.push_back({at + ".nodeSelector", fmt::format("{}: ignored in local mode", label)});
  }
  return remarks;
}

bool IsForeignWorkload(std::string_view kind) {
  constexpr std::array<std::string_view, 4> kKinds = {"DaemonSet", "Job", "CronJob",
                                                      "ReplicationController"};
  return std::find(kKinds.begin(), kKinds.end(), kind) != kKinds.end();
}

}  // namespace mesh::local
