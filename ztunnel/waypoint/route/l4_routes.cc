#include "ztunnel/waypoint/route/l4_routes.h"

#include <algorithm>

#include "proto/l7_frontend.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/chars.h"
#include "ztunnel/waypoint/route/compile.h"
#include "ztunnel/waypoint/route/weighted.h"

namespace mesh::route {
namespace {

absl::StatusOr<IpPrefix> CompileCidr(const l7::v1::Cidr& cidr) {
  const auto ip = IpAddress::FromBytes(cidr.address());
  if (!ip) return Invalid("an address of {} bytes", cidr.address().size());
  if (cidr.length() > 8 * cidr.address().size()) return Invalid("length {}", cidr.length());
  if (ip->IsV4() && cidr.address().size() == 16) return Invalid("an IPv4-mapped prefix");
  return IpPrefix{*ip, static_cast<uint8_t>(cidr.length())};
}

absl::Status CompileMatch(const l7::v1::L4Match& match, L4Match& out) {
  for (int i = 0; i < match.destinations_size(); ++i) {
    ASSIGN_OR_RETURN(IpPrefix prefix, WithContext(CompileCidr(match.destinations(i)),
                                                  fmt::format("destinations[{}]", i)));
    out.destinations.push_back(prefix);
  }
  for (const auto& [name, value] : match.source_labels())
    out.source_labels.emplace_back(name, value);
  out.source_namespace = match.source_namespace();
  return absl::OkStatus();
}

absl::Status CompileSni(const google::protobuf::RepeatedPtrField<std::string>& hosts,
                        L4Match& out) {
  for (int i = 0; i < hosts.size(); ++i) {
    const std::string& host = hosts[i];
    if (host.empty() || host.find('*', 1) != host.npos)
      return Invalid("sni_hosts[{}]: \"{}\"", i, host);
    out.sni_hosts.push_back(Lower(host));
  }
  return out.sni_hosts.empty() ? Invalid("sni_hosts: none") : absl::OkStatus();
}

absl::Status CompileBackends(const google::protobuf::RepeatedPtrField<l7::v1::L4Backend>& backends,
                             L4Route& out) {
  if (backends.empty()) return Invalid("backends: none");
  for (const auto& backend : backends) {
    out.backends.push_back({backend.cluster(), backend.weight()});
    out.weight_sum += backend.weight();
  }
  if (out.backends.size() > 1 && out.weight_sum == 0) return Invalid("backends: weights sum to 0");
  return absl::OkStatus();
}

absl::StatusOr<L4Route> CompileTls(const l7::v1::TlsRoute& route) {
  L4Route out{.origin = route.origin(), .matches = {}, .backends = {}};
  if (route.matches().empty()) return Invalid("matches: none");
  for (int i = 0; i < route.matches_size(); ++i) {
    L4Match& match = out.matches.emplace_back();
    absl::Status compiled = CompileSni(route.matches(i).sni_hosts(), match);
    if (compiled.ok()) compiled = WithContext(CompileMatch(route.matches(i).l4(), match), "l4");
    RETURN_IF_ERROR(WithContext(compiled, fmt::format("matches[{}]", i)));
  }
  RETURN_IF_ERROR(CompileBackends(route.backends(), out));
  return out;
}

absl::StatusOr<L4Route> CompileTcp(const l7::v1::TcpRoute& route) {
  L4Route out{.origin = route.origin(), .matches = {}, .backends = {}};
  for (int i = 0; i < route.matches_size(); ++i) {
    RETURN_IF_ERROR(WithContext(CompileMatch(route.matches(i), out.matches.emplace_back()),
                                fmt::format("matches[{}]", i)));
  }
  RETURN_IF_ERROR(CompileBackends(route.backends(), out));
  return out;
}

bool MatchesSni(const std::string& host, std::string_view sni) {
  if (sni.empty()) return false;
  if (!host.starts_with('*')) return http::EqualsIgnoreCase(host, sni);
  const std::string_view suffix = std::string_view(host).substr(1);
  return sni.size() > suffix.size() &&
         http::EqualsIgnoreCase(sni.substr(sni.size() - suffix.size()), suffix);
}

}  // namespace

bool MatchesLabels(const std::vector<std::pair<std::string, std::string>>& wanted,
                   const Labels* labels) {
  return std::all_of(wanted.begin(), wanted.end(), [labels](const auto& pair) {
    if (labels == nullptr) return false;
    const auto found = labels->find(pair.first);
    return found != labels->end() && found->second == pair.second;
  });
}

bool L4Match::Matches(const ConnectionView& connection) const {
  const auto contains = [&connection](const IpPrefix& prefix) {
    return prefix.Contains(connection.destination);
  };
  const auto names = [&connection](const std::string& host) {
    return MatchesSni(host, connection.sni);
  };
  return (sni_hosts.empty() || std::any_of(sni_hosts.begin(), sni_hosts.end(), names)) &&
         (destinations.empty() ||
          std::any_of(destinations.begin(), destinations.end(), contains)) &&
         (source_namespace.empty() || source_namespace == connection.source_namespace) &&
         MatchesLabels(source_labels, connection.source_labels);
}

bool L4Route::Matches(const ConnectionView& connection) const {
  return matches.empty() || std::any_of(matches.begin(), matches.end(), [&](const L4Match& match) {
           return match.Matches(connection);
         });
}

const L4Backend& ChooseBackend(const L4Route& route, uint64_t random) {
  return PickWeighted(route.backends, route.weight_sum, random);
}

absl::StatusOr<L4Routes> L4Routes::Compile(const l7::v1::Frontend& frontend) {
  L4Routes out;
  for (int i = 0; i < frontend.tls_routes_size(); ++i) {
    ASSIGN_OR_RETURN(L4Route route, WithContext(CompileTls(frontend.tls_routes(i)),
                                                fmt::format("tls_routes[{}]", i)));
    out.tls.push_back(std::move(route));
  }
  for (int i = 0; i < frontend.tcp_routes_size(); ++i) {
    ASSIGN_OR_RETURN(L4Route route, WithContext(CompileTcp(frontend.tcp_routes(i)),
                                                fmt::format("tcp_routes[{}]", i)));
    out.tcp.push_back(std::move(route));
  }
  return out;
}

const L4Route* L4Routes::Find(const ConnectionView& connection) const {
  for (const auto* list : {&tls, &tcp}) {
    for (const L4Route& route : *list)
      if (route.Matches(connection)) return &route;
  }
  return nullptr;
}

}  // namespace mesh::route
