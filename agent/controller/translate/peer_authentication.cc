#include "agent/controller/translate/peer_authentication.h"

#include <fmt/format.h>

#include <set>

namespace mesh::controller {
namespace {

namespace sec = istio::security;
using Mode = api::MutualTls;

constexpr char kStaticName[] = "istio_converted_static_strict";
constexpr char kPrefix[] = "converted_peer_authentication_";

void RequireIdentity(sec::Match& match) { match.add_not_principals()->mutable_presence(); }

struct PortModes {
  std::set<uint32_t> open;  // PERMISSIVE or DISABLE
  std::set<uint32_t> strict;
};

PortModes PortsOf(const api::PeerAuthentication& policy) {
  PortModes ports;
  for (const auto& [port, mtls] : policy.spec().port_level_mtls()) {
    if (mtls.mode() == Mode::STRICT) ports.strict.insert(port);
    if (mtls.mode() == Mode::PERMISSIVE || mtls.mode() == Mode::DISABLE) ports.open.insert(port);
  }
  return ports;
}

}  // namespace

sec::Authorization StaticStrict(const Settings& settings) {
  sec::Authorization out;
  out.set_name(kStaticName);
  out.set_namespace_(settings.root_namespace);
  out.set_scope(sec::WORKLOAD_SELECTOR);
  out.set_action(sec::DENY);
  RequireIdentity(*out.add_groups()->add_rules()->add_matches());
  return out;
}

std::optional<sec::Authorization> TranslatePeerAuthentication(const api::PeerAuthentication& policy,
                                                              bool parent_strict,
                                                              const Settings& settings) {
  const auto& meta = policy.metadata();
  if (meta.namespace_() == settings.root_namespace ||
      policy.spec().selector().match_labels().empty()) {
    return std::nullopt;
  }
  const auto mode = policy.spec().mtls().mode();
  const PortModes ports = PortsOf(policy);
  sec::Authorization out;
  out.set_name(kPrefix + meta.name());
  out.set_namespace_(meta.namespace_());
  out.set_scope(sec::WORKLOAD_SELECTOR);
  out.set_action(sec::DENY);
  if (mode == Mode::STRICT || (mode == Mode::UNSET && parent_strict)) {
    if (ports.open.empty()) return std::nullopt;
    // One group: no identity AND none of the open ports. Under a STRICT parent the reference states
    // the identity a second time; so do we, for the resource to be the same.
    sec::Group& group = *out.add_groups();
    if (mode == Mode::STRICT) RequireIdentity(*group.add_rules()->add_matches());
    for (const uint32_t port : ports.open) {
      group.add_rules()->add_matches()->add_not_destination_ports(port);
    }
    if (parent_strict) RequireIdentity(*group.add_rules()->add_matches());
    return out;
  }
  if (ports.strict.empty()) return std::nullopt;
  for (const uint32_t port : ports.strict) {
    sec::Match& match = *out.add_groups()->add_rules()->add_matches();
    RequireIdentity(match);
    match.add_destination_ports(port);
  }
  return out;
}

std::optional<std::string> PeerAuthenticationKeyFor(
    const std::vector<k8s::PeerAuthenticationRef>& all, const std::string& ns,
    const k8s::Labels& labels, const Settings& settings) {
  const std::string static_key = settings.root_namespace + "/" + kStaticName;
  const auto effective = k8s::EffectiveFor(all, settings.root_namespace, ns, labels);
  const auto static_or_none = [&]() -> std::optional<std::string> {
    if (effective.strict) return static_key;
    return std::nullopt;
  };
  if (effective.workload == nullptr) return static_or_none();
  // An inherited STRICT is lifted from a port by PERMISSIVE alone; DISABLE says nothing there.
  if (effective.workload->spec().mtls().mode() == Mode::UNSET && effective.strict) {
    bool lifted = false;
    for (const auto& [port, mtls] : effective.workload->spec().port_level_mtls()) {
      lifted |= mtls.mode() == Mode::PERMISSIVE;
    }
    if (!lifted) return static_key;
  }
  return fmt::format("{}/{}{}", ns, kPrefix, effective.workload->metadata().name());
}

}  // namespace mesh::controller
