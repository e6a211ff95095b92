#include "ztunnel/core/state/mesh_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "ztunnel/core/state/tables.h"

namespace mesh::state {
namespace {

bool Visible(const Service& service, std::string_view client_ns) {
  return !service.namespace_private || service.ns == client_ns;
}

int Preference(const Service& service, std::string_view client_ns, std::string_view preferred_ns) {
  if (service.ns == client_ns) return 3;
  if (service.canonical) return 2;
  return !preferred_ns.empty() && service.ns == preferred_ns ? 1 : 0;
}

ServiceRef Prefer(const std::vector<ServiceRef>& services, std::string_view client_ns,
                  std::string_view preferred_ns) {
  const ServiceRef* best = nullptr;
  int best_rank = -1;
  for (const ServiceRef& s : services) {
    const int rank = Preference(*s, client_ns, preferred_ns);
    if (rank <= best_rank || !Visible(*s, client_ns)) continue;
    best = &s;
    best_rank = rank;
  }
  return best ? *best : nullptr;
}

// The client's namespace first, then the longest prefix, then canonical.
ServiceRef FindByCidr(const MeshState::Impl& impl, std::string_view network, const IpAddress& ip,
                      std::string_view client_ns) {
  ServiceRef longest;
  const bool v4 = ip.IsV4();
  for (int length = v4 ? 32 : 128; length >= 0; --length) {
    if ((v4 ? impl.v4_lengths[length] : impl.v6_lengths[length]) == 0) continue;
    const ServiceGroupRef* group =
        impl.by_cidr.Find(PrefixKey{network, IpPrefix::Masked(ip, static_cast<uint8_t>(length))});
    if (group == nullptr) continue;
    ServiceRef found = Prefer((*group)->items, client_ns, "");
    if (found && found->ns == client_ns) return found;
    if (!longest) longest = std::move(found);
  }
  return longest;
}

}  // namespace

WorkloadRef MeshState::FindWorkloadByUid(std::string_view uid) const {
  const WorkloadRef* found = impl_->workloads.Find(uid);
  return found ? *found : nullptr;
}

WorkloadRef MeshState::FindWorkload(std::string_view network, const IpAddress& ip) const {
  const AddressSlot* found = impl_->by_address.Find(AddressKey{network, ip});
  return found ? found->first : nullptr;
}

std::string PodUid(std::string_view cluster_id, std::string_view ns, std::string_view name) {
  return fmt::format("{}//Pod/{}/{}", cluster_id, ns, name);
}

WorkloadRef MeshState::FindPod(std::string_view cluster_id, std::string_view ns,
                               std::string_view name, std::string_view service_account) const {
  WorkloadRef found = FindWorkloadByUid(PodUid(cluster_id, ns, name));
  return found && found->service_account == service_account ? found : nullptr;
}

ServiceRef MeshState::FindService(std::string_view ns, std::string_view hostname) const {
  const ServiceEntry* entry = impl_->FindEntry(ns, hostname);
  return entry ? entry->service : nullptr;
}

ServiceRef MeshState::FindServiceByVip(std::string_view network, const IpAddress& vip,
                                       std::string_view client_ns) const {
  if (const ServiceGroupRef* group = impl_->by_vip.Find(AddressKey{network, vip})) {
    if (ServiceRef found = Prefer((*group)->items, client_ns, "")) return found;
  }
  return FindByCidr(*impl_, network, vip, client_ns);
}

ServiceRef MeshState::FindServiceByHostname(std::string_view hostname, std::string_view client_ns,
                                            std::string_view preferred_ns) const {
  const ServiceGroupRef* group = impl_->by_host.Find(hostname);
  return group ? Prefer((*group)->items, client_ns, preferred_ns) : nullptr;
}

MeshState::AddressHit MeshState::FindByHostname(const NamespacedHostname& name) const {
  if (ServiceRef service = FindService(name.ns, name.hostname)) return service;
  const WorkloadSlot* slot = impl_->by_workload_host.Find(PairKey{name.ns, name.hostname});
  if (slot != nullptr) return slot->first;
  return {};
}

MeshState::AddressHit MeshState::FindByAddress(std::string_view network,
                                               const IpAddress& ip) const {
  if (WorkloadRef workload = FindWorkload(network, ip)) return workload;
  // No client asks here (a waypoint's address, say), so visibility does not count.
  if (const ServiceGroupRef* group = impl_->by_vip.Find(AddressKey{network, ip})) {
    const auto& items = (*group)->items;
    const auto canonical =
        std::find_if(items.begin(), items.end(), [](const ServiceRef& s) { return s->canonical; });
    return canonical == items.end() ? items.front() : *canonical;
  }
  if (ServiceRef service = FindByCidr(*impl_, network, ip, "")) return service;
  return {};
}

std::span<const Endpoint> MeshState::Endpoints(const Service& service) const {
  const ServiceEntry* entry = impl_->FindEntry(service.ns, service.hostname);
  if (entry == nullptr) return {};
  return entry->endpoints;
}

std::vector<authz::PolicyRef> MeshState::PoliciesFor(const Workload& workload) const {
  std::vector<authz::PolicyRef> out;
  if (const PolicyGroupRef* of = impl_->policies_of.Find(std::string_view(workload.ns));
      of != nullptr && !workload.ns.empty()) {
    out = (*of)->items;
  }
  if (const PolicyGroupRef* global = impl_->policies_of.Find(std::string_view())) {
    out.insert(out.end(), (*global)->items.begin(), (*global)->items.end());
  }
  for (const Text& key : workload.authorization_policies) {
    const PolicyEntryRef* entry = impl_->policies.Find(std::string_view(key));
    if (entry == nullptr) continue;
    if (std::find(out.begin(), out.end(), (*entry)->policy) == out.end()) {
      out.push_back((*entry)->policy);
    }
  }
  return out;
}

std::vector<WorkloadRef> MeshState::Workloads() const {
  std::vector<WorkloadRef> out;
  out.reserve(impl_->workloads.size());
  impl_->workloads.ForEach([&](const WorkloadRef& w) { out.push_back(w); });
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a->uid < b->uid; });
  return out;
}

std::vector<ServiceRef> MeshState::Services() const {
  std::vector<ServiceRef> out;
  impl_->services.ForEach([&](const ServiceEntryRef& e) {
    if (e->service) out.push_back(e->service);
  });
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::tie(a->ns, a->hostname) < std::tie(b->ns, b->hostname);
  });
  return out;
}

std::vector<authz::PolicyRef> MeshState::Policies() const {
  std::vector<PolicyEntryRef> entries;
  impl_->policies.ForEach([&](const PolicyEntryRef& e) { entries.push_back(e); });
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a->key < b->key; });
  std::vector<authz::PolicyRef> out;
  for (const PolicyEntryRef& e : entries) out.push_back(e->policy);
  return out;
}

std::vector<std::pair<std::string, std::vector<Endpoint>>> MeshState::StagedEndpoints() const {
  std::vector<std::pair<std::string, std::vector<Endpoint>>> out;
  impl_->services.ForEach([&](const ServiceEntryRef& e) {
    if (e->service) return;
    auto& [key, endpoints] =
        out.emplace_back(fmt::format("{}/{}", e->ns, e->hostname), e->endpoints);
    endpoints.insert(endpoints.end(), e->held_back.begin(), e->held_back.end());
  });
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

}  // namespace mesh::state
