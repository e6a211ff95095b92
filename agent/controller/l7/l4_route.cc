#include "agent/controller/l7/l4_route.h"

#include "agent/controller/l7/http_match.h"
#include "ztunnel/base/ip.h"

namespace mesh::controller {
namespace {

namespace l7 = mesh::l7::v1;
using Backends = google::protobuf::RepeatedPtrField<l7::L4Backend>;

// TlsMatch and TcpMatch have these fields alike.
template <typename Match>
std::optional<l7::L4Match> TranslateL4(const Match& match, const RouteContext& context) {
  if (match.port() != 0 && match.port() != context.port) return std::nullopt;
  if (!IsForMesh(match.gateways())) return std::nullopt;
  l7::L4Match out;
  for (const std::string& subnet : match.destination_subnets()) {
    const auto prefix = IpPrefix::Parse(subnet);
    if (!prefix) return std::nullopt;  // validation let none through
    l7::Cidr& cidr = *out.add_destinations();
    cidr.set_address(prefix->address.ToBytes());
    cidr.set_length(prefix->length);
  }
  *out.mutable_source_labels() = match.source_labels();
  out.set_source_namespace(match.source_namespace());
  if (!NarrowClients(context, out.mutable_source_namespace(), out.mutable_source_labels())) {
    return std::nullopt;
  }
  for (const auto& [key, value] : out.source_labels()) context.label_keys.insert(key);
  return out;
}

template <typename Rule>
void AddBackends(const Rule& rule, const RouteContext& context, Backends* out) {
  const bool weighted = rule.route_size() > 1;
  for (const api::RouteDestination& to : rule.route()) {
    if (weighted && to.weight() <= 0) continue;
    l7::L4Backend& backend = *out->Add();
    backend.set_cluster(ClusterOf(to.destination(), context));
    backend.set_weight(to.weight() > 0 ? static_cast<uint32_t>(to.weight()) : 1);
  }
}

}  // namespace

std::optional<l7::TcpRoute> TranslateTcpRule(const api::TcpRule& rule, const std::string& origin,
                                             const RouteContext& context) {
  l7::TcpRoute route;
  route.set_origin(origin);
  for (const api::TcpMatch& match : rule.match()) {
    if (auto translated = TranslateL4(match, context)) *route.add_matches() = *translated;
  }
  if (rule.match().empty() && !context.consumer_ns.empty()) {
    *route.add_matches() = *TranslateL4(api::TcpMatch(), context);
  }
  if (!rule.match().empty() && route.matches().empty()) return std::nullopt;
  AddBackends(rule, context, route.mutable_backends());
  return route;
}

std::optional<l7::TlsRoute> TranslateTlsRule(const api::TlsRule& rule, const std::string& origin,
                                             const RouteContext& context) {
  l7::TlsRoute route;
  route.set_origin(origin);
  for (const api::TlsMatch& match : rule.match()) {
    auto l4 = TranslateL4(match, context);
    if (!l4) continue;
    l7::TlsRoute::Match& added = *route.add_matches();
    added.mutable_sni_hosts()->CopyFrom(match.sni_hosts());
    *added.mutable_l4() = *std::move(l4);
  }
  if (route.matches().empty()) return std::nullopt;
  AddBackends(rule, context, route.mutable_backends());
  return route;
}

l7::TcpRoute DefaultTcpRoute(const L7Service& service, const RouteContext& context) {
  api::TcpRule rule;
  api::Destination& to = *rule.add_route()->mutable_destination();
  to.set_host(service.host);
  to.mutable_port()->set_number(context.port);
  return *TranslateTcpRule(rule, "", context);
}

}  // namespace mesh::controller
