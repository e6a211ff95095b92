#include "ztunnel/dns/resolver.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "ztunnel/base/dns/message.h"

namespace mesh::dns {
namespace {

struct Candidate {
  std::string name;
  bool stripped = false;  // a search domain was taken off
};

size_t Labels(std::string_view name) {
  return static_cast<size_t>(std::count(name.begin(), name.end(), '.')) + 1;
}

class Lookup {
 public:
  Lookup(const state::MeshState& mesh, const state::Workload& client, uint16_t type,
         const ResolverConfig& config)
      : mesh_(mesh), client_(client), type_(type), config_(config) {
    svc_domain_ = "svc." + config.cluster_domain;
  }

  Resolution Run(std::string_view name) {
    for (const Candidate& candidate : Candidates(name)) {
      if (auto found = Find(candidate)) return *std::move(found);
    }
    return {};
  }

 private:
  std::vector<Candidate> Candidates(std::string_view name) const {
    std::vector<Candidate> out;
    AddExpanded(name, false, out);
    for (const std::string& domain :
         {client_.ns + "." + svc_domain_, svc_domain_, config_.cluster_domain}) {
      if (name.size() <= domain.size() + 1 || !name.ends_with(domain)) continue;
      const std::string_view rest = name.substr(0, name.size() - domain.size());
      if (rest.back() == '.') AddExpanded(rest.substr(0, rest.size() - 1), true, out);
    }
    return out;
  }

  void AddExpanded(std::string_view name, bool stripped, std::vector<Candidate>& out) const {
    const auto add = [&](std::string candidate) {
      for (const auto& have : out) {
        if (have.name == candidate) return;
      }
      out.push_back({std::move(candidate), stripped});
    };
    add(std::string(name));
    switch (Labels(name)) {
      case 1:
        add(fmt::format("{}.{}.{}", name, client_.ns, svc_domain_));
        break;
      case 2:
        add(fmt::format("{}.{}", name, svc_domain_));
        break;
      case 3:
        if (name.ends_with(".svc")) add(fmt::format("{}.{}", name, config_.cluster_domain));
        break;
      default:
        break;
    }
  }

  std::optional<Resolution> Find(const Candidate& candidate) const {
    if (const auto service = Service(candidate.name)) {
      return FromService(*service, candidate, false);
    }
    if (auto pod = FindPodOfService(candidate)) return pod;
    for (size_t dot = candidate.name.find('.'); dot != std::string::npos;
         dot = candidate.name.find('.', dot + 1)) {
      if (const auto service = Service("*" + candidate.name.substr(dot))) {
        return FromService(*service, candidate, true);
      }
    }
    return std::nullopt;
  }

  state::ServiceRef Service(std::string_view hostname) const {
    return mesh_.FindServiceByHostname(hostname, client_.ns, config_.preferred_namespace);
  }

  bool UnderServiceDomain(std::string_view hostname) const {
    return hostname.size() > svc_domain_.size() && hostname.ends_with(svc_domain_) &&
           hostname[hostname.size() - svc_domain_.size() - 1] == '.';
  }

  bool Wanted(const IpAddress& ip, const state::Service& service) const {
    if (ip.IsV4() != (type_ == kTypeA)) return false;
    if (!ip.IsV4() && !config_.ipv6) return false;
    if (service.ip_families == state::IpFamilies::kV4Only) return ip.IsV4();
    if (service.ip_families == state::IpFamilies::kV6Only) return !ip.IsV4();
    return true;
  }

  void Add(const state::Workload& workload, const state::Service& service, Resolution& out) const {
    if (workload.network != client_.network) return;
    for (const IpAddress& ip : workload.addresses) {
      if (Wanted(ip, service)) out.addresses.push_back(ip);
    }
  }

  std::optional<Resolution> FromService(const state::Service& service, const Candidate& candidate,
                                        bool wildcard) const {
    Resolution out{.known = true, .cname = "", .addresses = {}, .domain = service.hostname.str()};
    if (candidate.stripped && !wildcard) out.cname = candidate.name;
    if (!service.vips.empty()) {
      for (const auto& vip : service.vips) {
        if (vip.network == client_.network && Wanted(vip.ip, service))
          out.addresses.push_back(vip.ip);
      }
      return out;
    }
    // Without an address of its own: a headless service is its endpoints; any other name belongs to
    // somebody else's DNS.
    if (!UnderServiceDomain(service.hostname)) return std::nullopt;
    for (const state::Endpoint& endpoint : mesh_.Endpoints(service)) {
      Add(*endpoint.workload, service, out);
    }
    return out;
  }

  // web-0.web.shop.svc.cluster.local: the pod web-0 behind the headless service web.
  std::optional<Resolution> FindPodOfService(const Candidate& candidate) const {
    if (!UnderServiceDomain(candidate.name)) return std::nullopt;
    const size_t dot = candidate.name.find('.');
    const auto service = Service(std::string_view(candidate.name).substr(dot + 1));
    if (service == nullptr || !service->vips.empty()) return std::nullopt;
    const std::string_view pod = std::string_view(candidate.name).substr(0, dot);
    Resolution out{.known = true, .cname = "", .addresses = {}, .domain = candidate.name};
    if (candidate.stripped) out.cname = candidate.name;
    bool found = false;
    for (const state::Endpoint& endpoint : mesh_.Endpoints(*service)) {
      if (endpoint.workload->name != pod) continue;
      found = true;
      Add(*endpoint.workload, *service, out);
    }
    if (!found) return std::nullopt;
    return out;
  }

  const state::MeshState& mesh_;
  const state::Workload& client_;
  const uint16_t type_;
  const ResolverConfig& config_;
  std::string svc_domain_;
};

}  // namespace

Resolution Resolve(const state::MeshState& mesh, const state::Workload& client,
                   std::string_view name, uint16_t type, const ResolverConfig& config) {
  return Lookup(mesh, client, type, config).Run(name);
}

}  // namespace mesh::dns
