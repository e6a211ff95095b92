#include "agent/controller/translate/service.h"

#include <fmt/format.h>

#include <array>

#include "agent/k8s/labels.h"
#include "ztunnel/base/ip.h"

namespace mesh::controller {
namespace {

namespace wl = istio::workload;

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

struct Word {
  std::string_view word;
  PortProtocol protocol;
  wl::AppProtocol wire = wl::UNKNOWN;
};
constexpr std::array<Word, 12> kWords = {{{"http", PortProtocol::kHttp, wl::HTTP11},
                                          {"http2", PortProtocol::kHttp2, wl::HTTP2},
                                          {"grpc", PortProtocol::kGrpc, wl::GRPC},
                                          {"grpc-web", PortProtocol::kGrpcWeb},
                                          {"https", PortProtocol::kTls, wl::TLS},
                                          {"tls", PortProtocol::kTls, wl::TLS},
                                          {"tcp", PortProtocol::kTcp, wl::TCP},
                                          {"udp", PortProtocol::kUdp},
                                          {"mongo", PortProtocol::kTcp},
                                          {"redis", PortProtocol::kTcp},
                                          {"mysql", PortProtocol::kTcp},
                                          {"http_proxy", PortProtocol::kTcp}}};

// Istio's reading of a port's name or appProtocol; null when it says nothing.
const Word* FindWord(std::string_view name) {
  const std::string lower = Lower(name);
  const std::string word =
      lower.rfind("grpc-web", 0) == 0 ? "grpc-web" : lower.substr(0, lower.find('-'));
  for (const Word& known : kWords) {
    if (known.word == word) return &known;
  }
  return nullptr;
}

const Word* WordOf(const api::ServicePort& port) {
  const std::string& app = port.app_protocol();
  if (app == "kubernetes.io/h2c") return FindWord("http2");
  if (app == "kubernetes.io/ws") return FindWord("http");
  if (app == "kubernetes.io/wss") return FindWord("https");
  if (const Word* word = FindWord(app.empty() ? port.name() : app)) return word;
  for (const int number : {25, 53, 3306, 27017}) {
    if (port.port() == number) return FindWord("tcp");
  }
  return nullptr;
}

PortProtocol ProtocolOf(const Word* word) {
  return word == nullptr ? PortProtocol::kUnknown : word->protocol;
}
wl::AppProtocol AppProtocolOf(const Word* word) {
  return word == nullptr ? wl::UNKNOWN : word->wire;
}

bool IsTcp(std::string_view protocol) { return protocol.empty() || protocol == "TCP"; }

std::vector<std::string> ClusterIps(const api::ServiceSpec& spec) {
  std::vector<std::string> ips(spec.cluster_ips().begin(), spec.cluster_ips().end());
  if (ips.empty() && !spec.cluster_ip().empty()) ips.push_back(spec.cluster_ip());
  if (!ips.empty() && ips.front() == "None") ips.clear();
  return ips;
}

wl::IPFamilies FamiliesOf(const api::ServiceSpec& spec) {
  bool v4 = false;
  bool v6 = false;
  for (const std::string& family : spec.ip_families()) (family == "IPv6" ? v6 : v4) = true;
  if (spec.ip_families().empty()) {
    for (const std::string& text : ClusterIps(spec)) {
      if (const auto ip = IpAddress::Parse(text)) (ip->IsV4() ? v4 : v6) = true;
    }
  }
  if (v4 && v6) return wl::DUAL;
  return v4 ? wl::IPV4_ONLY : v6 ? wl::IPV6_ONLY : wl::AUTOMATIC;
}

using Lb = wl::LoadBalancing;
void Prefer(std::initializer_list<Lb::Scope> scopes, Lb::Mode mode, wl::Service& out) {
  for (const Lb::Scope scope : scopes) {
    out.mutable_load_balancing()->add_routing_preference(scope);
  }
  out.mutable_load_balancing()->set_mode(mode);
}

}  // namespace

PortProtocol ProtocolOf(const api::ServicePort& port) {
  return IsTcp(port.protocol()) ? ProtocolOf(WordOf(port)) : PortProtocol::kUdp;
}
PortProtocol ProtocolOf(const api::ServiceEntryPort& port) {
  return ProtocolOf(FindWord(port.protocol()));
}
wl::AppProtocol AppProtocolOf(const api::ServicePort& port) { return AppProtocolOf(WordOf(port)); }
wl::AppProtocol AppProtocolOf(const api::ServiceEntryPort& port) {
  return AppProtocolOf(FindWord(port.protocol()));
}

uint32_t TargetNumber(const api::ServicePort& port) {
  const auto& target = port.target_port();
  switch (target.kind_case()) {
    case google::protobuf::Value::kNumberValue:
      return target.number_value() == 0 ? static_cast<uint32_t>(port.port())
                                        : static_cast<uint32_t>(target.number_value());
    case google::protobuf::Value::kStringValue:
      return 0;
    default:
      return static_cast<uint32_t>(port.port());
  }
}

uint32_t FindNamedPort(const api::Pod& pod, const std::string& name) {
  for (const api::Container& container : pod.spec().containers()) {
    for (const api::ContainerPort& port : container.ports()) {
      if (port.name() == name && IsTcp(port.protocol())) {
        return static_cast<uint32_t>(port.container_port());
      }
    }
  }
  return 0;
}

void AddDistribution(const std::string& field, const api::ObjectMeta& meta,
                     const api::Namespace* space, wl::Service& out) {
  constexpr char kAnnotation[] = "networking.istio.io/traffic-distribution";
  std::string text = field;
  if (text.empty()) text = k8s::ValueOf(meta.annotations(), kAnnotation);
  if (text.empty() && space != nullptr) {
    text = k8s::ValueOf(space->metadata().annotations(), kAnnotation);
  }
  const std::string distribution = Lower(text);
  if (distribution == "preferclose" || distribution == "prefersamezone") {
    Prefer({Lb::NETWORK, Lb::REGION, Lb::ZONE}, Lb::FAILOVER, out);
  } else if (distribution == "prefersamenode") {
    Prefer({Lb::NETWORK, Lb::REGION, Lb::ZONE, Lb::SUBZONE, Lb::NODE}, Lb::FAILOVER, out);
  }
}

std::string HostnameOf(const api::Service& service, const Settings& settings) {
  return fmt::format("{}.{}.svc.{}", service.metadata().name(), service.metadata().namespace_(),
                     settings.cluster_domain);
}

std::string ResourceNameOf(const api::Service& service, const Settings& settings) {
  return service.metadata().namespace_() + "/" + HostnameOf(service, settings);
}

bool IsSent(const api::Service& service) { return service.spec().type() != "ExternalName"; }

wl::Service TranslateService(const api::Service& service, const api::Namespace* space,
                             const Settings& settings) {
  wl::Service out;
  out.set_name(service.metadata().name());
  out.set_namespace_(service.metadata().namespace_());
  out.set_hostname(HostnameOf(service, settings));
  for (const std::string& text : ClusterIps(service.spec())) {
    if (const auto ip = IpAddress::Parse(text)) {
      wl::NetworkAddress& address = *out.add_addresses();
      address.set_network(settings.network);
      address.set_address(ip->ToBytes());
    }
  }
  for (const api::ServicePort& port : service.spec().ports()) {
    if (!IsTcp(port.protocol())) continue;  // UDP is never proxied
    auto& added = *out.add_ports();
    added.set_service_port(static_cast<uint32_t>(port.port()));
    added.set_target_port(TargetNumber(port));
    added.set_app_protocol(AppProtocolOf(port));
  }
  out.set_ip_families(FamiliesOf(service.spec()));
  if (service.spec().internal_traffic_policy() == "Local") {
    Prefer({Lb::NODE}, Lb::STRICT, out);
  } else {
    AddDistribution(service.spec().traffic_distribution(), service.metadata(), space, out);
  }
  if (service.spec().publish_not_ready_addresses()) {
    out.mutable_load_balancing()->set_health_policy(Lb::ALLOW_ALL);
  }
  out.set_canonical(true);
  return out;
}

wl::PortList PortsOn(const api::Service& service, const api::Pod& pod) {
  wl::PortList list;
  for (const api::ServicePort& port : service.spec().ports()) {
    if (!IsTcp(port.protocol())) continue;
    uint32_t target = TargetNumber(port);
    if (target == 0) target = FindNamedPort(pod, port.target_port().string_value());
    if (target == 0) continue;
    auto& added = *list.add_ports();
    added.set_service_port(static_cast<uint32_t>(port.port()));
    added.set_target_port(target);
  }
  return list;
}

wl::PortList PortsOn(const api::Service& service, const api::EndpointSlice& slice) {
  wl::PortList list;
  for (const api::ServicePort& port : service.spec().ports()) {
    for (const api::EndpointPort& endpoint : slice.ports()) {
      if (endpoint.name() != port.name() || !IsTcp(endpoint.protocol()) ||
          !IsTcp(port.protocol())) {
        continue;
      }
      auto& added = *list.add_ports();
      added.set_service_port(static_cast<uint32_t>(port.port()));
      added.set_target_port(static_cast<uint32_t>(endpoint.port()));
    }
  }
  return list;
}

}  // namespace mesh::controller
