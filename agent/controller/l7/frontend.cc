#include "agent/controller/l7/frontend.h"

#include <fmt/format.h>

#include "agent/controller/l7/delegates.h"
#include "agent/controller/l7/l4_route.h"

namespace mesh::controller {
namespace {

namespace l7 = mesh::l7::v1;
using Frontend = l7::Frontend;
using Rules = std::vector<VirtualServiceRef>;

// Rules that hold for some clients (empty: for all that no other has).
struct Audience {
  std::string consumer_ns;
  std::string client;
  Rules rules;
  const k8s::Labels* labels = nullptr;
};

class Builder {
 public:
  Builder(const L7Service& service, const FrontendSources& sources)
      : service_(service), sources_(sources) {
    const std::string& waypoint_ns = service.waypoint->ns;
    const std::set<std::string> owners = {service.ns(), waypoint_ns};
    Rules own = sources.virtual_services.For(service, owners, waypoint_ns);
    std::set<std::string> consumers = sources.virtual_services.NamespacesFor(service);
    for (const std::string& ns : sources.destination_rules.Namespaces()) {
      const std::string view = sources.destination_rules.ViewOf(ns, service);
      if (view == ns && ns != sources.settings.root_namespace) consumers.insert(ns);
    }
    const auto rules_of = [&](const std::string& ns) {
      if (owners.contains(ns)) return own;
      Rules theirs = sources.virtual_services.For(service, {ns}, ns);
      if (theirs.size() > 1) theirs.resize(1);  // the first that claims a host
      return theirs.empty() ? own : theirs;
    };
    for (const MergedRule* rule : sources.destination_rules.SelectingFor(service)) {
      audiences_.push_back({rule->ns, rule->Name(), rules_of(rule->ns), rule->clients});
    }
    for (const std::string& ns : consumers) {
      if (!owners.contains(ns)) audiences_.push_back({ns, ns, rules_of(ns)});
    }
    audiences_.push_back({"", waypoint_ns, std::move(own)});
  }

  Frontend Build(const L7Port& port) {
    Frontend out;
    out.set_service(service_.Name());
    out.set_port(port.number);
    out.set_protocol(port.protocol);
    const bool http = port.protocol == Frontend::HTTP || port.protocol == Frontend::HTTP2;
    for (const Audience& audience : audiences_) {
      if (http || port.protocol == Frontend::DETECT) AddHttp(audience, port.number, out);
      if (!http) AddL4(audience, port.number, out);
    }
    return out;
  }

 private:
  RouteContext ContextOf(const Audience& audience, uint32_t port, const std::string& rule_ns) {
    return {.settings = sources_.settings,
            .directory = sources_.directory,
            .destination_rules = sources_.destination_rules,
            .rule_ns = rule_ns,
            .client = audience.client,
            .consumer_ns = audience.consumer_ns,
            .consumer_labels = audience.labels,
            .port = port,
            .clusters = sources_.clusters,
            .label_keys = sources_.label_keys};
  }

  static std::string OriginOf(const api::VirtualService& rule, const char* list, int index) {
    return fmt::format("VirtualService {}/{} spec.{}[{}]", rule.metadata().namespace_(),
                       rule.metadata().name(), list, index);
  }

  // False: what follows is never asked.
  bool AddRoute(const api::HttpRule& rule, const std::string& origin, const RouteContext& context,
                Frontend& out) {
    auto route = TranslateHttpRule(rule, origin, context);
    if (!route) return true;
    *out.add_routes() = *std::move(route);
    return !TakesEverything(*out.routes().rbegin(), context);
  }

  // An http rule, or those that it delegates to.
  bool AddRule(const api::VirtualService& object, int index, const Audience& audience,
               uint32_t port, Frontend& out) {
    const api::HttpRule& rule = object.spec().http(index);
    const std::string& ns = object.metadata().namespace_();
    const std::string origin = OriginOf(object, "http", index);
    if (!rule.has_delegate()) {
      return AddRoute(rule, origin, ContextOf(audience, port, ns), out);
    }
    const auto delegate = sources_.virtual_services.Delegated(rule.delegate(), ns);
    if (delegate == nullptr) return true;
    const api::ObjectMeta& meta = delegate->metadata();
    const RouteContext context = ContextOf(audience, port, meta.namespace_());
    const std::string by =
        fmt::format("{} by VirtualService {}/{}", origin, meta.namespace_(), meta.name());
    for (const api::HttpRule& merged : MergeDelegate(rule, delegate->spec())) {
      if (!AddRoute(merged, by, context, out)) return false;
    }
    return true;
  }

  void AddHttp(const Audience& audience, uint32_t port, Frontend& out) {
    const int before = out.routes_size();
    for (const VirtualServiceRef& rule : audience.rules) {
      for (int i = 0; i < rule->spec().http_size(); ++i) {
        if (!AddRule(*rule, i, audience, port, out)) return;
      }
    }
    const RouteContext context = ContextOf(audience, port, service_.ns());
    if (out.routes_size() == before) {
      *out.add_routes() = DefaultRoute(service_, context);
    } else if (!audience.consumer_ns.empty() && audience.labels == nullptr) {
      *out.add_routes() = NoRoute(audience.consumer_ns);
    }
  }

  // What the rules of a namespace leave out has no route, also where the service's own would have
  // one.
  static l7::Route NoRoute(const std::string& ns) {
    l7::Route route;
    route.set_name("no_route");
    route.add_matches()->set_source_namespace(ns);
    route.mutable_direct_response()->set_status(404);
    return route;
  }

  void AddL4(const Audience& audience, uint32_t port, Frontend& out) {
    for (const VirtualServiceRef& rule : audience.rules) {
      const RouteContext context = ContextOf(audience, port, rule->metadata().namespace_());
      for (int i = 0; i < rule->spec().tls_size(); ++i) {
        auto route = TranslateTlsRule(rule->spec().tls(i), OriginOf(*rule, "tls", i), context);
        if (route) *out.add_tls_routes() = *std::move(route);
      }
      for (int i = 0; i < rule->spec().tcp_size(); ++i) {
        auto route = TranslateTcpRule(rule->spec().tcp(i), OriginOf(*rule, "tcp", i), context);
        if (route) *out.add_tcp_routes() = *std::move(route);
      }
    }
    *out.add_tcp_routes() = DefaultTcpRoute(service_, ContextOf(audience, port, service_.ns()));
  }

  const L7Service& service_;
  const FrontendSources& sources_;
  std::vector<Audience> audiences_;
};

}  // namespace

std::vector<Frontend> TranslateFrontends(const L7Service& service, const FrontendSources& sources) {
  Builder builder(service, sources);
  std::vector<Frontend> frontends;
  for (const L7Port& port : service.ports) frontends.push_back(builder.Build(port));
  return frontends;
}

}  // namespace mesh::controller
