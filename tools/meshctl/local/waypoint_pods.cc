#include "tools/meshctl/local/waypoint_pods.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace mesh::local {
namespace {

constexpr const char* kClass = "istio-waypoint";
constexpr const char* kGatewayName = "gateway.networking.k8s.io/gateway-name";
constexpr int kReadinessPort = 15021;

Json Field(const char* name, const char* path) {
  Json env = Json::Obj({{"name", name}});
  env["valueFrom"]["fieldRef"]["fieldPath"] = path;
  return env;
}

Json Environment(const ObjectKey& gateway, const Layout& layout, bool ipv6) {
  const std::string controller = "https://" + ControllerAddress();
  Json env(Json::Array{});
  env.Push(Field("POD_NAMESPACE", "metadata.namespace"));
  env.Push(Field("INSTANCE_IP", "status.podIP"));
  env.Push(Field("NODE_NAME", "spec.nodeName"));
  env.Push(Field("SERVICE_ACCOUNT", "spec.serviceAccountName"));
  const std::string labels =
      fmt::format(R"({{"gateway.networking.k8s.io/gateway-name":"{}"}})", gateway.name);
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, std::string>>{
           {"GATEWAY_NAME", gateway.name},
           {"ISTIO_METAJSON_LABELS", labels},
           {"CLUSTER_ID", "Kubernetes"},
           {"XDS_ADDRESS", controller},
           {"CA_ADDRESS", controller},
           {"XDS_ROOT_CA", layout.root_cert()},
           {"CA_ROOT_CA", layout.root_cert()},
           {"ALT_XDS_HOSTNAME", "istiod.istio-system.svc"},
           {"ALT_CA_HOSTNAME", "istiod.istio-system.svc"},
           {"AUTH_TOKEN", "$(MESH_POD_DIR)/token"},
           {"IPV6_ENABLED", ipv6 ? "true" : "false"},
           {"TERMINATION_GRACE_PERIOD_SECONDS", "30"},
           {"RUST_LOG", "info"}}) {
    env.Push(Json::Obj({{"name", name}, {"value", value}}));
  }
  return env;
}

Json Container(const ObjectKey& gateway, const Layout& layout, bool ipv6) {
  Json container = Json::Obj({{"name", "waypoint"}, {"image", "mesh/waypoint"}});
  container["env"] = Environment(gateway, layout, ipv6);
  container["readinessProbe"]["httpGet"] =
      Json::Obj({{"path", "/healthz/ready"}, {"port", kReadinessPort}});
  container["readinessProbe"]["periodSeconds"] = 1;
  return container;
}

Json PodOf(const ObjectKey& gateway, const Layout& layout, bool ipv6) {
  Json pod = Json::Obj({{"apiVersion", "v1"}, {"kind", "Pod"}});
  pod["metadata"]["namespace"] = gateway.ns;
  pod["metadata"]["labels"] = Json::Obj({{kGatewayName, gateway.name},
                                         {"gateway.istio.io/managed", "istio.io-mesh-controller"},
                                         {"istio.io/dataplane-mode", "none"},  // the mesh's own end
                                         {"networking.istio.io/tunnel", "http"}});
  Json& spec = pod["spec"];
  spec["serviceAccountName"] = gateway.name;
  spec["terminationGracePeriodSeconds"] = 35;
  spec["containers"].Push(Container(gateway, layout, ipv6));
  return pod;
}

int Replicas(const Json& gateway) {
  const Json& told = gateway.Get({"metadata", "annotations", "mesh/waypoint-replicas"});
  int replicas = 1;
  const std::string text = told.Str();
  std::from_chars(text.data(), text.data() + text.size(), replicas);
  return std::clamp(replicas, 0, 20);
}

}  // namespace

void AddWaypointPods(const ObjectStore& objects, const Layout& layout, bool ipv6,
                     std::vector<PodSet>& plan) {
  for (const Json* gateway : objects.OfKind("Gateway")) {
    if (gateway->Get({"spec", "gatewayClassName"}).Str() != kClass) continue;
    const ObjectKey key = KeyOf(*gateway);
    PodSet set{key, "", {}, "", Replicas(*gateway), PodOf(key, layout, ipv6)};
    set.revision = ShortHash(set.pod.Dump(), 10);
    set.prefix = key.name + "-" + set.revision;
    set.pod["metadata"]["labels"]["pod-template-hash"] = set.revision;
    set.pod["metadata"]["generateName"] = set.prefix + "-";
    set.pod["metadata"]["ownerReferences"].Push(
        Json::Obj({{"apiVersion", "apps/v1"},
                   {"kind", "ReplicaSet"},
                   {"name", set.prefix},
                   {"uid", "local-" + ShortHash("Gateway/" + key.ns + "/" + key.name, 12)},
                   {"controller", true},
                   {"blockOwnerDeletion", true}}));
    plan.push_back(std::move(set));
  }
}

}  // namespace mesh::local
