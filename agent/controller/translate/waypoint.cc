#include "agent/controller/translate/waypoint.h"

#include <fmt/format.h>

#include <charconv>

#include "ztunnel/base/ip.h"

namespace mesh::controller {
namespace {

namespace wl = istio::workload;
using k8s::ValueOf;

constexpr char kUse[] = "istio.io/use-waypoint";
constexpr char kUseNamespace[] = "istio.io/use-waypoint-namespace";
constexpr char kFor[] = "istio.io/waypoint-for";
constexpr char kIngress[] = "istio.io/ingress-use-waypoint";
constexpr char kBinding[] = "ambient.istio.io/waypoint-inbound-binding";
constexpr uint32_t kHbonePort = 15008;

const api::GatewayListener* HboneListener(const api::Gateway& gateway) {
  for (const api::GatewayListener& listener : gateway.spec().listeners()) {
    if (listener.protocol() == "HBONE") return &listener;
  }
  return nullptr;
}

bool Meets(const api::LabelSelectorRequirement& requirement, const k8s::Labels& labels) {
  const auto it = labels.find(requirement.key());
  const bool present = it != labels.end();
  bool among = false;
  for (const std::string& value : requirement.values()) among |= present && it->second == value;
  const std::string& op = requirement.operator_();
  if (op == "In") return among;
  if (op == "NotIn") return !among;
  if (op == "Exists") return present;
  if (op == "DoesNotExist") return !present;
  return false;  // an operator that we do not know admits nobody
}

bool Admits(const api::Gateway& gateway, const std::string& ns, const api::Namespace* space) {
  const api::GatewayListener* listener = HboneListener(gateway);
  const api::RouteNamespaces& from = listener != nullptr ? listener->allowed_routes().namespaces()
                                                         : api::RouteNamespaces::default_instance();
  if (from.from() == "All") return true;
  if (from.from() == "Selector") {
    static const k8s::Labels kNone;
    const k8s::Labels& labels = space != nullptr ? space->metadata().labels() : kNone;
    if (!k8s::Matches(from.selector().match_labels(), labels)) return false;
    for (const auto& requirement : from.selector().match_expressions()) {
      if (!Meets(requirement, labels)) return false;
    }
    return true;
  }
  return gateway.metadata().namespace_() == ns;
}

bool Serves(const WaypointObjects& objects, TrafficType type) {
  std::string what = "service";
  if (objects.klass != nullptr) {
    const std::string& told = ValueOf(objects.klass->metadata().labels(), kFor);
    if (!told.empty()) what = told;
  }
  const std::string& told = ValueOf(objects.gateway->metadata().labels(), kFor);
  if (!told.empty()) what = told;
  if (type == TrafficType::kAny) return what != "none";
  return what == "all" || what == (type == TrafficType::kService ? "service" : "workload");
}

wl::GatewayAddress AddressOf(const api::Gateway& gateway, const api::GatewayAddress& address,
                             const Settings& settings) {
  wl::GatewayAddress out;
  const auto ip = IpAddress::Parse(address.value());
  if (ip && address.type() != "Hostname") {
    out.mutable_address()->set_network(settings.network);
    out.mutable_address()->set_address(ip->ToBytes());
  } else {
    out.mutable_hostname()->set_namespace_(gateway.metadata().namespace_());
    out.mutable_hostname()->set_hostname(address.value());
  }
  const api::GatewayListener* listener = HboneListener(gateway);
  out.set_hbone_mtls_port(listener != nullptr ? static_cast<uint32_t>(listener->port())
                                              : kHbonePort);
  return out;
}

void Refuse(WaypointBinding& binding, const char* reason, std::string message) {
  binding.condition.set_status("False");
  binding.condition.set_reason(reason);
  binding.condition.set_message(std::move(message));
}

}  // namespace

std::optional<WaypointWish> WaypointWishOf(const api::ObjectMeta& meta, const k8s::Labels& labels,
                                           const api::Namespace* space) {
  if (ValueOf(labels, kManagedLabel) == kManagedByUs) return std::nullopt;
  const auto from = [&](const k8s::Labels& told, bool own) -> std::optional<WaypointWish> {
    const std::string& name = ValueOf(told, kUse);
    if (name == "none") return std::nullopt;
    const std::string& ns = ValueOf(told, kUseNamespace);
    return WaypointWish{{ns.empty() ? meta.namespace_() : ns, name}, own};
  };
  if (!ValueOf(labels, kUse).empty()) return from(labels, true);
  if (space != nullptr && !ValueOf(space->metadata().labels(), kUse).empty()) {
    return from(space->metadata().labels(), false);
  }
  return std::nullopt;
}

bool OptsOutOfWaypoints(const k8s::Labels& labels, const api::Namespace* space) {
  if (ValueOf(labels, kManagedLabel) == kManagedByUs) return true;
  if (!ValueOf(labels, kUse).empty()) return ValueOf(labels, kUse) == "none";
  return space != nullptr && ValueOf(space->metadata().labels(), kUse) == "none";
}

WaypointBinding BindWaypoint(const WaypointWish& wish, const std::string& ns, TrafficType type,
                             const WaypointObjects& objects, const Settings& settings) {
  const WaypointRef& ref = wish.ref;
  WaypointBinding binding{.ref = ref, .own = wish.own, .address = std::nullopt, .condition = {}};
  binding.condition.set_type("istio.io/WaypointBound");
  if (objects.gateway == nullptr || objects.gateway->status().addresses().empty()) {
    Refuse(binding, "WaypointIsNotReady",
           fmt::format("waypoint \"{}\" is not ready", ref.ToString()));
  } else if (!Admits(*objects.gateway, ns, objects.space)) {
    Refuse(binding, "AttachmentDenied",
           fmt::format("we are not permitted to attach to waypoint \"{}\" (missing allowedRoutes?)",
                       ref.ToString()));
  } else if (!Serves(objects, type)) {
    Refuse(binding, "UnsupportedTrafficType",
           fmt::format("attempting to bind to traffic type \"{}\" which the waypoint \"{}\" does "
                       "not support",
                       type == TrafficType::kService ? "service" : "workload", ref.ToString()));
  } else {
    binding.address = AddressOfWaypoint(*objects.gateway, settings);
    binding.condition.set_status("True");
    binding.condition.set_reason("WaypointAccepted");
    binding.condition.set_message(
        fmt::format("Successfully attached to waypoint {}", ref.ToString()));
  }
  return binding;
}

std::string IdentityOf(const WaypointRef& ref, const Settings& settings) {
  return fmt::format("{}/ns/{}/sa/{}", settings.trust_domain, ref.ns, ref.name);
}

wl::GatewayAddress AddressOfWaypoint(const api::Gateway& gateway, const Settings& settings) {
  if (!gateway.status().addresses().empty()) {
    return AddressOf(gateway, gateway.status().addresses(0), settings);
  }
  api::GatewayAddress address;
  address.set_type("Hostname");
  address.set_value(fmt::format("{}.{}.svc.{}", gateway.metadata().name(),
                                gateway.metadata().namespace_(), settings.cluster_domain));
  return AddressOf(gateway, address, settings);
}

std::optional<wl::ApplicationTunnel> ApplicationTunnelOf(const api::Gateway& gateway,
                                                         const api::GatewayClass* klass) {
  std::string text = ValueOf(gateway.metadata().annotations(), kBinding);
  if (text.empty() && klass != nullptr) text = ValueOf(klass->metadata().annotations(), kBinding);
  const size_t slash = text.find('/');
  const std::string protocol = text.substr(0, slash);
  wl::ApplicationTunnel tunnel;
  if (protocol == "PROXY") {
    tunnel.set_protocol(wl::ApplicationTunnel::PROXY);
  } else if (protocol != "NONE") {
    return std::nullopt;
  }
  if (slash != std::string::npos) {
    uint16_t port = 0;
    const auto [end, error] =
        std::from_chars(text.data() + slash + 1, text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    tunnel.set_port(port);
  }
  return tunnel;
}

std::string AutoAllowKey(const std::string& ns, const std::string& name) {
  return fmt::format("{0}/istio_allow_waypoint_{0}_{1}", ns, name);
}

std::string IngressUseOf(const api::ObjectMeta& meta, const api::Namespace* space) {
  const std::string& own = ValueOf(meta.labels(), kIngress);
  if (!own.empty() || space == nullptr) return own;
  return ValueOf(space->metadata().labels(), kIngress);
}

}  // namespace mesh::controller
