#include "agent/controller/translate/workload.h"

#include <fmt/format.h>

#include "agent/controller/translate/service.h"
#include "agent/k8s/labels.h"
#include "ztunnel/base/ip.h"

namespace mesh::controller {
namespace {

namespace wl = istio::workload;
using k8s::ValueOf;

std::vector<IpAddress> AddressesOf(const api::PodStatus& status) {
  std::vector<IpAddress> addresses;
  for (const api::PodIp& pod_ip : status.pod_ips()) {
    if (const auto ip = IpAddress::Parse(pod_ip.ip())) addresses.push_back(*ip);
  }
  if (addresses.empty()) {
    if (const auto ip = IpAddress::Parse(status.pod_ip())) addresses.push_back(*ip);
  }
  return addresses;
}

bool IsReady(const api::Pod& pod) {
  if (!pod.metadata().deletion_timestamp().empty()) return false;
  for (const api::Condition& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return condition.status() == "True";
  }
  return false;
}

bool HasSuffix(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

// "report-29384756" -> "report": what a CronJob names its jobs.
std::string_view WithoutTimestamp(std::string_view job) {
  const size_t dash = job.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return job;
  const std::string_view digits = job.substr(dash + 1);
  if (digits.size() < 8 || digits.size() > 10 ||
      digits.find_first_not_of("0123456789") != std::string_view::npos) {
    return job;
  }
  return job.substr(0, dash);
}

std::string OwnerNameOf(const api::Pod& pod) {
  const auto& labels = pod.metadata().labels();
  for (const api::OwnerReference& owner : pod.metadata().owner_references()) {
    if (!owner.controller()) continue;
    if (owner.kind() == "ReplicaSet") {
      for (const char* label : {"pod-template-hash", "rollouts-pod-template-hash"}) {
        const std::string& hash = ValueOf(labels, label);
        if (!hash.empty() && HasSuffix(owner.name(), "-" + hash)) {
          return owner.name().substr(0, owner.name().size() - hash.size() - 1);
        }
      }
    } else if (owner.kind() == "ReplicationController") {
      const std::string& config = ValueOf(labels, "deploymentconfig");
      if (!config.empty()) return config;
    } else if (owner.kind() == "Job") {
      return std::string(WithoutTimestamp(owner.name()));
    }
    return owner.name();
  }
  return pod.metadata().name();
}

std::string FirstLabel(const k8s::Labels& labels, std::initializer_list<const char*> keys,
                       const std::string& otherwise) {
  for (const char* key : keys) {
    const std::string& value = ValueOf(labels, key);
    if (!value.empty()) return value;
  }
  return otherwise;
}

void AddLocality(const api::Node* node, wl::Workload& out) {
  if (node == nullptr) return;
  const auto& labels = node->metadata().labels();
  const std::string& region = ValueOf(labels, "topology.kubernetes.io/region");
  const std::string& zone = ValueOf(labels, "topology.kubernetes.io/zone");
  const std::string& subzone = ValueOf(labels, "topology.istio.io/subzone");
  if (region.empty() && zone.empty() && subzone.empty()) return;
  out.mutable_locality()->set_region(region);
  out.mutable_locality()->set_zone(zone);
  out.mutable_locality()->set_subzone(subzone);
}

}  // namespace

bool IsSent(const api::Pod& pod) {
  const std::string& phase = pod.status().phase();
  return phase != "Succeeded" && phase != "Failed" && !AddressesOf(pod.status()).empty();
}

std::string UidOf(const api::Pod& pod, const Settings& settings) {
  return fmt::format("{}//Pod/{}/{}", settings.cluster_id, pod.metadata().namespace_(),
                     pod.metadata().name());
}

std::string ServiceAccountOf(const api::Pod& pod) {
  const auto& spec = pod.spec();
  if (!spec.service_account_name().empty()) return spec.service_account_name();
  return spec.service_account().empty() ? "default" : spec.service_account();
}

std::string WorkloadNameOf(const api::Pod& pod) {
  const std::string& told = ValueOf(pod.metadata().labels(), "service.istio.io/workload-name");
  if (!told.empty()) return told;
  return pod.metadata().generate_name().empty() ? pod.metadata().name() : OwnerNameOf(pod);
}

void AddCanonical(const k8s::Labels& labels, const std::string& name, wl::Workload& out) {
  out.set_canonical_name(FirstLabel(
      labels, {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"}, name));
  out.set_canonical_revision(FirstLabel(
      labels, {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"},
      "latest"));
}

wl::Workload TranslatePod(const api::Pod& pod, const WorkloadContext& context,
                          const Settings& settings) {
  const auto& labels = pod.metadata().labels();
  wl::Workload out;
  out.set_uid(UidOf(pod, settings));
  out.set_name(pod.metadata().name());
  out.set_namespace_(pod.metadata().namespace_());
  for (const IpAddress& ip : AddressesOf(pod.status())) out.add_addresses(ip.ToBytes());
  const bool native = ValueOf(labels, "networking.istio.io/tunnel") == "http";
  const bool enrolled =
      ValueOf(pod.metadata().annotations(), "ambient.istio.io/redirection") == "enabled";
  out.set_tunnel_protocol(native || enrolled ? wl::HBONE : wl::TunnelProtocol::NONE);
  out.set_native_tunnel(native);
  out.set_network(settings.network);
  if (settings.trust_domain != "cluster.local") out.set_trust_domain(settings.trust_domain);
  out.set_service_account(ServiceAccountOf(pod));
  out.set_node(pod.spec().node_name());
  const std::string workload_name = WorkloadNameOf(pod);
  out.set_workload_name(workload_name);
  out.set_workload_type(wl::POD);
  AddCanonical(labels, workload_name, out);
  for (const api::Service* service : context.services) {
    (*out.mutable_services())[ResourceNameOf(*service, settings)] = PortsOn(*service, pod);
  }
  out.set_status(IsReady(pod) ? wl::HEALTHY : wl::UNHEALTHY);
  out.set_cluster_id(settings.cluster_id);
  AddLocality(context.node, out);
  if (pod.spec().host_network()) out.set_network_mode(wl::HOST_NETWORK);
  return out;
}

std::vector<wl::Workload> TranslateSlice(const api::EndpointSlice& slice,
                                         const api::Service& service, const Settings& settings) {
  std::vector<wl::Workload> workloads;
  const wl::PortList ports = PortsOn(service, slice);
  for (const api::Endpoint& endpoint : slice.endpoints()) {
    if (endpoint.target_ref().kind() == "Pod") continue;
    for (const std::string& text : endpoint.addresses()) {
      const auto ip = IpAddress::Parse(text);
      if (!ip) continue;
      wl::Workload& out = workloads.emplace_back();
      out.set_uid(fmt::format("{}/discovery.k8s.io/EndpointSlice/{}/{}/{}", settings.cluster_id,
                              slice.metadata().namespace_(), slice.metadata().name(),
                              ip->ToString()));
      out.set_name(slice.metadata().name());
      out.set_namespace_(slice.metadata().namespace_());
      out.add_addresses(ip->ToBytes());
      out.set_cluster_id(settings.cluster_id);
      out.set_network(settings.network);
      out.set_network_mode(wl::HOST_NETWORK);  // never found by address
      const bool ready = !endpoint.conditions().has_ready() || endpoint.conditions().ready();
      out.set_status(ready ? wl::HEALTHY : wl::UNHEALTHY);
      (*out.mutable_services())[ResourceNameOf(service, settings)] = ports;
    }
  }
  return workloads;
}

}  // namespace mesh::controller
