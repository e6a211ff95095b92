// The rules of VirtualService: its hosts and gateways, tls and tcp. http: validate_http_rule.cc.
#include <fmt/format.h>

#include "agent/k8s/checker.h"
#include "agent/k8s/validate.h"

namespace mesh::k8s {
namespace {

bool Covers(std::string_view pattern, std::string_view host) {
  if (!IsWildcard(pattern)) return pattern == host;
  if (IsWildcard(host)) host.remove_prefix(1);
  const std::string_view suffix = pattern.substr(1);
  return host.size() >= suffix.size() && host.substr(host.size() - suffix.size()) == suffix;
}

class VirtualServiceChecker : FieldChecker {
 public:
  VirtualServiceChecker(const api::VirtualService& object, std::vector<Issue>& issues)
      : FieldChecker(issues), issues_(issues), object_(object), spec_(object.spec()) {}

  void Run() {
    delegate_ = spec_.hosts().empty();
    CheckGateways();
    CheckHosts();
    if (delegate_) CheckDelegate();
    if (spec_.http().empty() && spec_.tls().empty() && spec_.tcp().empty()) {
      Error("spec", "http, tcp or tls must be provided");
    }
    ValidateHttpRules(object_, for_mesh_, issues_);
    for (int i = 0; i < spec_.tls_size(); ++i) CheckTls(spec_.tls(i), i);
    for (int i = 0; i < spec_.tcp_size(); ++i) CheckTcp(spec_.tcp(i), i);
    CheckExportTo(spec_.export_to(), object_.metadata().namespace_());
  }

 private:
  // NAME, NS/NAME, ./NAME, or NAME.NS..., which is old.
  void CheckGateways() {
    for_mesh_ = spec_.gateways().empty();
    for (int i = 0; i < spec_.gateways_size(); ++i) CheckGateway(spec_.gateways(i), i);
  }

  void CheckGateway(const std::string& gateway, int index) {
    const std::string field = fmt::format("spec.gateways[{}]", index);
    for_mesh_ |= gateway == "mesh";
    const size_t slash = gateway.find('/');
    if (slash != std::string::npos) {
      const std::string ns = gateway.substr(0, slash);
      if ((ns != "." && !IsDnsLabel(ns)) || !IsDnsLabel(gateway.substr(slash + 1))) {
        Error(field, fmt::format("\"{}\" must be NAMESPACE/NAME", gateway));
      }
      return;
    }
    if (!IsDomain(gateway)) Error(field, fmt::format("\"{}\" is no gateway's name", gateway));
    const size_t dot = gateway.find('.');
    if (dot == std::string::npos) return;
    const size_t end = gateway.find('.', dot + 1);
    Warn(field, fmt::format("\"{}\" is the old form; write \"{}/{}\"", gateway,
                            gateway.substr(dot + 1, end - dot - 1), gateway.substr(0, dot)));
  }

  void CheckHosts() {
    for (int i = 0; i < spec_.hosts_size(); ++i) {
      const std::string field = fmt::format("spec.hosts[{}]", i);
      CheckHost(spec_.hosts(i), field);
      if (spec_.hosts(i) == "*" && for_mesh_) {
        Error(field, "wildcard host * is not allowed for rules of the mesh's own traffic");
      }
      for (int before = 0; before < i; ++before) {
        if (Covers(spec_.hosts(before), spec_.hosts(i)) ||
            Covers(spec_.hosts(i), spec_.hosts(before))) {
          Error(field,
                fmt::format("\"{}\" overlaps with \"{}\"", spec_.hosts(i), spec_.hosts(before)));
        }
      }
    }
  }

  void CheckDelegate() {
    if (!spec_.gateways().empty()) Error("spec.gateways", "not without hosts (a delegate)");
    if (!spec_.tls().empty()) Error("spec.tls", "not without hosts (a delegate)");
    if (!spec_.tcp().empty()) Error("spec.tcp", "not without hosts (a delegate)");
  }

  template <typename Match>
  void CheckL4Match(const Match& match, const std::string& field) {
    for (int i = 0; i < match.destination_subnets_size(); ++i) {
      CheckSubnet(match.destination_subnets(i), fmt::format("{}.destinationSubnets[{}]", field, i));
    }
    if (match.port() != 0) CheckPort(match.port(), field + ".port");
    CheckLabels(match.source_labels(), field + ".sourceLabels");
    if (!match.source_namespace().empty()) {
      CheckNamespace(match.source_namespace(), field + ".sourceNamespace");
    }
  }

  template <typename Rule>
  void CheckRoute(const Rule& rule, const std::string& field) {
    if (rule.route().empty()) Error(field + ".route", "required");
    int64_t sum = 0;
    for (int i = 0; i < rule.route_size(); ++i) {
      const std::string at = fmt::format("{}.route[{}]", field, i);
      ValidateDestination(rule.route(i).destination(), at + ".destination", issues_);
      if (rule.route(i).weight() < 0) Error(at + ".weight", "must not be negative");
      sum += rule.route(i).weight();
    }
    if (rule.route_size() > 1 && sum == 0) Error(field + ".route", "the sum of weights is 0");
  }

  void CheckTls(const api::TlsRule& rule, int index) {
    const std::string field = fmt::format("spec.tls[{}]", index);
    if (rule.match().empty()) Error(field + ".match", "required");
    for (int i = 0; i < rule.match_size(); ++i) {
      const std::string at = fmt::format("{}.match[{}]", field, i);
      const api::TlsMatch& match = rule.match(i);
      if (match.sni_hosts().empty()) Error(at + ".sniHosts", "must have at least one");
      for (int s = 0; s < match.sni_hosts_size(); ++s) {
        CheckSni(match.sni_hosts(s), fmt::format("{}.sniHosts[{}]", at, s));
      }
      CheckL4Match(match, at);
    }
    CheckRoute(rule, field);
  }

  void CheckSni(const std::string& sni, const std::string& field) {
    CheckHost(sni, field);
    for (const std::string& host : spec_.hosts()) {
      if (Covers(host, sni)) return;
    }
    Error(field, fmt::format("\"{}\" is among none of the hosts", sni));
  }

  void CheckTcp(const api::TcpRule& rule, int index) {
    const std::string field = fmt::format("spec.tcp[{}]", index);
    for (int i = 0; i < rule.match_size(); ++i) {
      CheckL4Match(rule.match(i), fmt::format("{}.match[{}]", field, i));
      if (!rule.match(i).source_subnet().empty()) {
        Warn(fmt::format("{}.match[{}].sourceSubnet", field, i), "does nothing");
      }
    }
    CheckRoute(rule, field);
  }

  std::vector<Issue>& issues_;
  const api::VirtualService& object_;
  const api::VirtualServiceSpec& spec_;
  bool for_mesh_ = false;
  bool delegate_ = false;
};

}  // namespace

void ValidateDestination(const api::Destination& destination, const std::string& field,
                         std::vector<Issue>& issues) {
  FieldChecker check(issues);
  check.CheckHost(destination.host(), field + ".host");
  if (IsWildcard(destination.host())) check.Error(field + ".host", "a wildcard is no destination");
  if (!destination.subset().empty() && !IsDnsLabel(destination.subset())) {
    check.Error(field + ".subset", fmt::format("\"{}\" is no subset's name", destination.subset()));
  }
  if (destination.has_port()) {
    check.CheckPort(destination.port().number(), field + ".port.number");
  }
}

void ValidateVirtualService(const api::VirtualService& object, std::vector<Issue>& issues) {
  VirtualServiceChecker(object, issues).Run();
}

}  // namespace mesh::k8s
