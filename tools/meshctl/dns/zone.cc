#include "tools/meshctl/dns/zone.h"

#include <algorithm>

#include "tools/meshctl/local/addresses.h"

namespace mesh::local {
namespace {

constexpr std::string_view kDomain = ".cluster.local";
constexpr std::string_view kReverse[] = {".96.10.in-addr.arpa", ".244.10.in-addr.arpa"};
constexpr uint32_t kTtlSeconds = 5;
constexpr size_t kMostLabels = 5;

// At most one more than any name of ours has.
std::vector<std::string> Labels(std::string_view name) {
  std::vector<std::string> labels;
  while (!name.empty() && labels.size() <= kMostLabels) {
    const size_t dot = std::min(name.find('.'), name.size());
    labels.emplace_back(name.substr(0, dot));
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  return labels;
}

dns::Answer Found(std::vector<IpAddress> addresses) {
  return {.rcode = dns::Rcode::kNoError,
          .authoritative = true,
          .addresses = std::move(addresses),
          .ttl_seconds = kTtlSeconds};
}

dns::Answer NoSuchName() {
  return {.rcode = dns::Rcode::kNameError, .authoritative = true, .ttl_seconds = kTtlSeconds};
}

// "10-244-1-2", "fd00-10-244--2"
std::string Dashed(const IpAddress& ip) {
  std::string text = ip.ToString();
  std::ranges::replace(text, ip.IsV4() ? '.' : ':', '-');
  return text;
}

std::optional<IpAddress> FromDashed(std::string text) {
  std::string six = text;
  std::ranges::replace(text, '-', '.');
  std::ranges::replace(six, '-', ':');
  const auto ip = IpAddress::Parse(text);
  return ip ? ip : IpAddress::Parse(six);
}

bool Published(const api::Service& service, const k8s::ServiceEndpoint& endpoint) {
  return endpoint.ready || service.spec().publish_not_ready_addresses();
}

}  // namespace

dns::Answer Zone::OfExternalName(const std::string& target) const {
  dns::Answer answer = Found({});
  answer.cname = target;
  if (!answer.cname.empty() && answer.cname.back() == '.') answer.cname.pop_back();
  if (!answer.cname.ends_with(kDomain)) return answer;
  const std::vector<std::string> at =
      Labels(std::string_view(answer.cname).substr(0, answer.cname.size() - kDomain.size()));
  if (at.size() != 3 || at[2] != "svc") return answer;
  const api::Service* service = catalog_.Find(at[1], at[0]);
  // One step: a name that leads on to another is not followed further.
  if (service != nullptr && service->spec().type() != "ExternalName")
    answer.addresses = OfService(at[1], at[0]).addresses;
  return answer;
}

dns::Answer Zone::OfService(const std::string& ns, const std::string& name) const {
  if (ns == "kube-system" && name == "kube-dns") return Found({*IpAddress::Parse(kClusterDns)});
  const api::Service* service = catalog_.Find(ns, name);
  if (service == nullptr) return NoSuchName();
  if (service->spec().type() == "ExternalName")
    return OfExternalName(service->spec().external_name());
  std::vector<IpAddress> addresses = k8s::ClusterIps(*service);
  if (!addresses.empty()) return Found(std::move(addresses));
  for (const k8s::ServiceEndpoint& endpoint : catalog_.EndpointsOf(*service)) {
    if (!Published(*service, endpoint)) continue;
    addresses.insert(addresses.end(), endpoint.addresses.begin(), endpoint.addresses.end());
  }
  // CoreDNS says so too: a headless service without endpoints has no name.
  if (addresses.empty()) return NoSuchName();
  return Found(std::move(addresses));
}

dns::Answer Zone::OfEndpoint(const std::string& ns, const std::string& name,
                             const std::string& host) const {
  const api::Service* service = catalog_.Find(ns, name);
  if (service == nullptr) return NoSuchName();
  std::vector<IpAddress> addresses;
  for (const k8s::ServiceEndpoint& endpoint : catalog_.EndpointsOf(*service)) {
    if (!Published(*service, endpoint)) continue;
    for (const IpAddress& ip : endpoint.addresses) {
      const bool named = endpoint.hostname.empty() ? Dashed(ip) == host : endpoint.hostname == host;
      if (named) addresses.push_back(ip);
    }
  }
  return addresses.empty() ? NoSuchName() : Found(std::move(addresses));
}

ZoneAnswer Zone::Resolve(std::string_view name, uint16_t type) const {
  const bool reverse = std::ranges::any_of(
      kReverse, [&](std::string_view suffix) { return name.ends_with(suffix); });
  if (reverse || name.find('.') == std::string_view::npos) return {.answer = NoSuchName()};
  if (!name.ends_with(kDomain)) return {.forward = true};
  const std::vector<std::string> at = Labels(name.substr(0, name.size() - kDomain.size()));
  dns::Answer answer = NoSuchName();
  if (at.size() == 3 && at[2] == "svc") answer = OfService(at[1], at[0]);
  if (at.size() == 4 && at[3] == "svc") answer = OfEndpoint(at[2], at[1], at[0]);
  if (at.size() == 3 && at[2] == "pod") {
    if (const auto ip = FromDashed(at[0])) answer = Found({*ip});
  }
  if (type != dns::kTypeA && type != dns::kTypeAaaa) answer.addresses.clear();
  return {.answer = std::move(answer)};
}

}  // namespace mesh::local
