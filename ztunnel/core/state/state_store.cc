#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/state/decode.h"
#include "ztunnel/core/state/tables.h"

namespace mesh::state {
namespace {

// Higher wins an address that several workloads claim. Among equals the one that came last does: an
// address in new hands is learned of before its old holder goes.
int Rank(const Workload& w) {
  const bool pod = w.uid.view().find("//Pod/") != std::string::npos;
  const bool hbone = w.protocol == Protocol::kHbone;
  return (pod ? 4 : 0) + (hbone ? 2 : 0) + (w.status == Health::kHealthy ? 1 : 0);
}

std::pair<std::string_view, std::string_view> SplitKey(std::string_view key) {
  const size_t slash = key.find('/');
  if (slash == std::string_view::npos) return {};
  return {key.substr(0, slash), key.substr(slash + 1)};
}

void SetKey(WorkloadSlot&, const PairKey&) {}
void SetKey(AddressSlot& slot, const AddressKey& key) {
  const auto& all = slot.first->addresses;
  slot.index = static_cast<uint32_t>(std::find(all.begin(), all.end(), key.ip) - all.begin());
}

// The slot under `key` with `w` in its place by rank, of what is equal the last.
template <typename Slot, typename T, typename Key>
void AddWorkload(T& table, const Key& key, const WorkloadRef& w) {
  const Slot* old = table.Find(key);
  Slot slot;
  if (old == nullptr) {
    slot.first = w;
  } else {
    std::vector<WorkloadRef> all{old->first};
    if (old->others) all.insert(all.end(), old->others->begin(), old->others->end());
    all.insert(std::find_if(all.begin(), all.end(),
                            [&](const WorkloadRef& o) { return Rank(*w) >= Rank(*o); }),
               w);
    slot.first = all.front();
    all.erase(all.begin());
    slot.others = std::move(all);
  }
  SetKey(slot, key);
  table.Put(key, std::move(slot));
}

template <typename Slot, typename T, typename Key>
void RemoveWorkloadFrom(T& table, const Key& key, const WorkloadRef& w) {
  const Slot* old = table.Find(key);
  if (old == nullptr) return;
  Slot slot = *old;
  std::vector<WorkloadRef> others;
  if (slot.others) others = *slot.others;
  if (slot.first != w) {
    std::erase(others, w);
  } else if (others.empty()) {
    table.Erase(key);
    return;
  } else {
    slot.first = others.front();
    others.erase(others.begin());
  }
  slot.others = others.empty() ? Boxed<std::vector<WorkloadRef>>() : std::move(others);
  SetKey(slot, key);
  table.Put(key, std::move(slot));
}

// Takes `item` out of the group under `key`, and the group when nothing is left.
template <typename Group, typename T, typename Key, typename Item>
void RemoveItem(T& table, const Key& key, const Item& item) {
  const auto* old = table.Find(key);
  if (old == nullptr) return;
  auto group = std::make_shared<Group>(**old);
  std::erase(group->items, item);
  if (group->items.empty()) {
    table.Erase(key);
  } else {
    table.Put(key, std::shared_ptr<const Group>(std::move(group)));
  }
}

template <typename T, typename Key>
void AddService(T& table, const Key& key, const ServiceRef& s, const Text& network = {},
                const IpPrefix& prefix = {}) {
  auto group = std::make_shared<ServiceGroup>();
  if (const ServiceGroupRef* old = table.Find(key)) *group = **old;
  group->network = network;
  group->prefix = prefix;
  const auto at = std::lower_bound(
      group->items.begin(), group->items.end(), s, [](const ServiceRef& a, const ServiceRef& b) {
        return std::tie(a->ns, a->hostname) < std::tie(b->ns, b->hostname);
      });
  group->items.insert(at, s);
  table.Put(key, ServiceGroupRef(std::move(group)));
}

absl::Status CheckName(std::string_view resource_name, std::string_view key) {
  if (resource_name.empty() || resource_name == key) return absl::OkStatus();
  return Invalid("resource {} holds {}", resource_name, key);
}

}  // namespace

class StateStore::Impl {
 public:
  absl::Status UpsertWorkload(const std::string& name, const istio::workload::Workload& in) {
    ASSIGN_OR_RETURN(Workload workload, DecodeWorkload(in, pool_));
    RETURN_IF_ERROR(CheckName(name, workload.uid));
    RemoveWorkload(workload.uid);
    InsertWorkload(std::make_shared<const Workload>(std::move(workload)));
    return absl::OkStatus();
  }

  absl::Status UpsertService(const std::string& name, const istio::workload::Service& in) {
    ASSIGN_OR_RETURN(Service service, DecodeService(in, pool_));
    RETURN_IF_ERROR(CheckName(name, service.Key()));
    RemoveService(service.ns, service.hostname);
    InsertService(std::make_shared<const Service>(std::move(service)));
    return absl::OkStatus();
  }

  absl::Status UpsertPolicy(const std::string& name, const istio::security::Authorization& in) {
    ASSIGN_OR_RETURN(authz::PolicyRef policy, authz::Compile(in));
    const std::string key = authz::KeyOf(*policy);
    RETURN_IF_ERROR(CheckName(name, key));
    RemovePolicy(key);
    changed_ = true;
    tables_.policies.Put(std::string_view(key),
                         std::make_shared<const PolicyEntry>(PolicyEntry{key, policy}));
    if (const auto ns = ScopeNamespace(*policy)) AddToScope(*ns, policy);
    return absl::OkStatus();
  }

  void RemoveAddress(std::string_view name) {
    if (RemoveWorkload(name)) return;
    const auto [ns, hostname] = SplitKey(name);
    if (!hostname.empty() && hostname.find('/') == std::string_view::npos) {
      RemoveService(ns, hostname);
    }
  }

  void RemovePolicy(std::string_view key) {
    const PolicyEntryRef* found = tables_.policies.Find(key);
    if (found == nullptr) return;
    changed_ = true;
    const PolicyEntryRef entry = *found;
    tables_.policies.Erase(key);
    if (const auto ns = ScopeNamespace(*entry->policy)) {
      RemoveItem<PolicyGroup>(tables_.policies_of, std::string_view(*ns), entry->policy);
    }
  }

  MeshStateRef Publish() {
    if (!changed_ && published_) return published_;
    SortTouched();
    published_ = std::make_shared<const MeshState>(std::make_shared<const MeshState::Impl>(tables_),
                                                   ++edit_);
    tables_.workloads.Freeze();
    tables_.by_address.Freeze();
    tables_.by_workload_host.Freeze();
    tables_.services.Freeze();
    tables_.by_vip.Freeze();
    tables_.by_cidr.Freeze();
    tables_.by_host.Freeze();
    tables_.policies.Freeze();
    tables_.policies_of.Freeze();
    changed_ = false;
    return published_;
  }

 private:
  void InsertWorkload(const WorkloadRef& w) {
    changed_ = true;
    tables_.workloads.Put(std::string_view(w->uid), w);
    if (!w->host_network) {
      for (const IpAddress& ip : w->addresses) {
        AddWorkload<AddressSlot>(tables_.by_address, AddressKey{w->network, ip}, w);
      }
    }
    if (!w->hostname.empty()) {
      AddWorkload<WorkloadSlot>(tables_.by_workload_host, PairKey{w->ns, w->hostname}, w);
    }
    for (const auto& [key, ports] : w->services) {
      ServiceEntry& entry = OwnEntry(key);
      (IsHeldBack(entry, *w) ? entry.held_back : entry.endpoints).push_back({w, &ports});
    }
  }

  bool RemoveWorkload(std::string_view uid) {
    const WorkloadRef* found = tables_.workloads.Find(uid);
    if (found == nullptr) return false;
    changed_ = true;
    const WorkloadRef w = *found;
    tables_.workloads.Erase(uid);
    if (!w->host_network) {
      for (const IpAddress& ip : w->addresses) {
        RemoveWorkloadFrom<AddressSlot>(tables_.by_address, AddressKey{w->network, ip}, w);
      }
    }
    RemoveWorkloadFrom<WorkloadSlot>(tables_.by_workload_host, PairKey{w->ns, w->hostname}, w);
    for (const auto& [key, ports] : w->services) {
      ServiceEntry& entry = OwnEntry(key);
      const auto is_it = [&](const Endpoint& e) { return e.workload == w; };
      std::erase_if(entry.endpoints, is_it);
      std::erase_if(entry.held_back, is_it);
      EraseIfEmpty(entry);
    }
    return true;
  }

  void InsertService(const ServiceRef& s) {
    changed_ = true;
    ServiceEntry& entry = OwnEntry(s->Key());
    entry.service = s;
    Repartition(entry);
    for (const NetworkAddress& vip : s->vips) {
      const uint8_t bits = vip.ip.IsV4() ? 32 : 128;
      AddService(tables_.by_vip, AddressKey{vip.network, vip.ip}, s, vip.network, {vip.ip, bits});
    }
    for (const Service::CidrVip& vip : s->cidr_vips) {
      const IpPrefix prefix = IpPrefix::Masked(vip.prefix.address, vip.prefix.length);
      ++LengthCount(prefix);
      AddService(tables_.by_cidr, PrefixKey{vip.network, prefix}, s, vip.network, prefix);
    }
    AddService(tables_.by_host, std::string_view(s->hostname), s);
  }

  void RemoveService(std::string_view ns, std::string_view hostname) {
    const ServiceEntry* found = tables_.FindEntry(ns, hostname);
    if (found == nullptr || !found->service) return;
    changed_ = true;
    const ServiceRef s = found->service;
    for (const NetworkAddress& vip : s->vips) {
      RemoveItem<ServiceGroup>(tables_.by_vip, AddressKey{vip.network, vip.ip}, s);
    }
    for (const Service::CidrVip& vip : s->cidr_vips) {
      const IpPrefix prefix = IpPrefix::Masked(vip.prefix.address, vip.prefix.length);
      --LengthCount(prefix);
      RemoveItem<ServiceGroup>(tables_.by_cidr, PrefixKey{vip.network, prefix}, s);
    }
    RemoveItem<ServiceGroup>(tables_.by_host, std::string_view(s->hostname), s);
    ServiceEntry& entry = OwnEntry(s->Key());
    entry.service = nullptr;
    Repartition(entry);
    EraseIfEmpty(entry);
  }

  static bool IsHeldBack(const ServiceEntry& entry, const Workload& w) {
    const bool takes_all = entry.service && entry.service->allow_unhealthy;
    return w.status == Health::kUnhealthy && !takes_all;
  }

  static void Repartition(ServiceEntry& entry) {
    std::vector<Endpoint> all = std::move(entry.endpoints);
    std::move(entry.held_back.begin(), entry.held_back.end(), std::back_inserter(all));
    entry.endpoints.clear();
    entry.held_back.clear();
    for (Endpoint& e : all) {
      (IsHeldBack(entry, *e.workload) ? entry.held_back : entry.endpoints).push_back(std::move(e));
    }
  }

  // The entry of `key`, made if need be, as one that no snapshot has seen.
  ServiceEntry& OwnEntry(std::string_view key) {
    const auto [ns, hostname] = SplitKey(key);
    const PairKey pair{ns, hostname};
    const ServiceEntryRef* found = tables_.services.Find(pair);
    if (found != nullptr && (*found)->edit == edit_) return **found;
    auto entry = found ? std::make_shared<ServiceEntry>(**found) : std::make_shared<ServiceEntry>();
    entry->edit = edit_;
    entry->ns = pool_.Intern(ns);
    entry->hostname = pool_.Intern(hostname);
    touched_.insert(entry);
    tables_.services.Put(pair, entry);
    return *entry;
  }

  void EraseIfEmpty(const ServiceEntry& entry) {
    if (entry.service || !entry.endpoints.empty() || !entry.held_back.empty()) return;
    const Text ns = entry.ns, hostname = entry.hostname;  // `entry` may die with its place
    tables_.services.Erase(PairKey{ns, hostname});
  }

  void SortTouched() {
    const auto by_uid = [](const Endpoint& a, const Endpoint& b) {
      return a.workload->uid < b.workload->uid;
    };
    for (const ServiceEntryRef& entry : touched_) {
      std::sort(entry->endpoints.begin(), entry->endpoints.end(), by_uid);
      std::sort(entry->held_back.begin(), entry->held_back.end(), by_uid);
      entry->endpoints.shrink_to_fit();
      entry->held_back.shrink_to_fit();
    }
    touched_.clear();
  }

  // Where a policy is found without being listed; none for those that workloads list.
  static std::optional<std::string> ScopeNamespace(const authz::Policy& policy) {
    switch (authz::ScopeOf(policy)) {
      case authz::PolicyScope::kGlobal:
        return "";
      case authz::PolicyScope::kNamespace:
        return authz::SourceOf(policy).namespace_();
      case authz::PolicyScope::kWorkloadSelector:
        return std::nullopt;
    }
    return std::nullopt;
  }

  void AddToScope(const std::string& ns, const authz::PolicyRef& policy) {
    auto group = std::make_shared<PolicyGroup>();
    if (const PolicyGroupRef* old = tables_.policies_of.Find(std::string_view(ns))) *group = **old;
    group->ns = ns;
    const auto at = std::lower_bound(
        group->items.begin(), group->items.end(), policy,
        [](const auto& a, const auto& b) { return authz::KeyOf(*a) < authz::KeyOf(*b); });
    group->items.insert(at, policy);
    tables_.policies_of.Put(std::string_view(ns), PolicyGroupRef(std::move(group)));
  }

  uint32_t& LengthCount(const IpPrefix& prefix) {
    return prefix.address.IsV4() ? tables_.v4_lengths[prefix.length]
                                 : tables_.v6_lengths[prefix.length];
  }

  TextPool pool_;
  MeshState::Impl tables_;
  MeshStateRef published_;
  bool changed_ = true;
  uint64_t edit_ = 0;
  absl::flat_hash_set<ServiceEntryRef> touched_;  // made or copied in this edit
};

StateStore::StateStore() : impl_(std::make_unique<Impl>()) {}
StateStore::~StateStore() = default;

absl::Status StateStore::UpsertAddress(const std::string& resource_name,
                                       const istio::workload::Address& address) {
  switch (address.type_case()) {
    case istio::workload::Address::kWorkload:
      return impl_->UpsertWorkload(resource_name, address.workload());
    case istio::workload::Address::kService:
      return impl_->UpsertService(resource_name, address.service());
    case istio::workload::Address::TYPE_NOT_SET:
      break;
  }
  return Invalid("address is neither a workload nor a service");
}

absl::Status StateStore::UpsertPolicy(const std::string& resource_name,
                                      const istio::security::Authorization& a) {
  return impl_->UpsertPolicy(resource_name, a);
}

void StateStore::RemoveAddress(std::string_view resource_name) {
  impl_->RemoveAddress(resource_name);
}
void StateStore::RemovePolicy(std::string_view resource_name) {
  impl_->RemovePolicy(resource_name);
}
MeshStateRef StateStore::Publish() { return impl_->Publish(); }

}  // namespace mesh::state
