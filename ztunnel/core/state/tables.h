// The tables of one snapshot and how each is keyed. Values are shared between snapshots; the key is
// read from the value, never stored twice.
#pragma once

#include <absl/hash/hash.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/core/authz/policy.h"
#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/core/state/persistent_map.h"

namespace mesh::state {

// Two texts that name a thing together: namespace and hostname.
struct PairKey {
  std::string_view first, second;
  bool operator==(const PairKey&) const = default;
};
struct AddressKey {
  std::string_view network;
  IpAddress ip;
  bool operator==(const AddressKey&) const = default;
};
struct PrefixKey {
  std::string_view network;
  IpPrefix prefix;
  bool operator==(const PrefixKey&) const = default;
};

inline uint64_t HashKey(std::string_view key) { return absl::HashOf(key); }
inline uint64_t HashKey(const PairKey& key) { return absl::HashOf(key.first, key.second); }
inline uint64_t HashKey(const AddressKey& key) { return absl::HashOf(key.network, key.ip); }
inline uint64_t HashKey(const PrefixKey& key) {
  return absl::HashOf(key.network, key.prefix.address, key.prefix.length);
}

// The workloads that have one hostname: nearly always one.
struct WorkloadSlot {
  WorkloadRef first;  // the preferred one
  Boxed<std::vector<WorkloadRef>> others;
};
// The same for an address. Which of the first one's addresses it is, is kept: the key.
struct AddressSlot : WorkloadSlot {
  uint32_t index = 0;
};

// Services that share one VIP, prefix or hostname, ordered by key.
struct ServiceGroup {
  Text network;  // only where the key is an address
  IpPrefix prefix;
  std::vector<ServiceRef> items;
};
using ServiceGroupRef = std::shared_ptr<const ServiceGroup>;

// A service and its endpoints; `service` is null while only endpoints have arrived.
struct ServiceEntry {
  uint64_t edit = 0;
  Text ns, hostname;
  ServiceRef service;
  std::vector<Endpoint> endpoints;  // by uid once published
  std::vector<Endpoint> held_back;  // unhealthy, and the service takes only healthy ones
};
using ServiceEntryRef = std::shared_ptr<ServiceEntry>;

struct PolicyGroup {
  std::string ns;  // empty: the whole mesh
  std::vector<authz::PolicyRef> items;
};
using PolicyGroupRef = std::shared_ptr<const PolicyGroup>;

struct PolicyEntry {
  std::string key;
  authz::PolicyRef policy;
};
using PolicyEntryRef = std::shared_ptr<const PolicyEntry>;

// Makes the traits of PersistentMap from one function, value -> key.
template <typename V, typename Key, Key (*KeyOf)(const V&)>
struct KeyedBy {
  static uint64_t Hash(const Key& key) { return HashKey(key); }
  static uint64_t Hash(const V& value) { return HashKey(KeyOf(value)); }
  static bool Same(const V& value, const Key& key) { return KeyOf(value) == key; }
};
template <typename V, typename Key, Key (*KeyOf)(const V&)>
using Table = PersistentMap<V, KeyedBy<V, Key, KeyOf>>;

inline std::string_view UidOf(const WorkloadRef& w) { return w->uid; }
inline AddressKey AddressOf(const AddressSlot& s) {
  return {s.first->network, s.first->addresses[s.index]};
}
inline PairKey WorkloadHostOf(const WorkloadSlot& s) { return {s.first->ns, s.first->hostname}; }
inline PairKey ServiceOf(const ServiceEntryRef& e) { return {e->ns, e->hostname}; }
inline AddressKey VipOf(const ServiceGroupRef& g) { return {g->network, g->prefix.address}; }
inline PrefixKey CidrOf(const ServiceGroupRef& g) { return {g->network, g->prefix}; }
inline std::string_view HostOf(const ServiceGroupRef& g) { return g->items.front()->hostname; }
inline std::string_view PolicyOf(const PolicyEntryRef& e) { return e->key; }
inline std::string_view NamespaceOf(const PolicyGroupRef& g) { return g->ns; }

struct MeshState::Impl {
  Table<WorkloadRef, std::string_view, UidOf> workloads;
  Table<AddressSlot, AddressKey, AddressOf> by_address;
  Table<WorkloadSlot, PairKey, WorkloadHostOf> by_workload_host;
  Table<ServiceEntryRef, PairKey, ServiceOf> services;
  Table<ServiceGroupRef, AddressKey, VipOf> by_vip;
  Table<ServiceGroupRef, PrefixKey, CidrOf> by_cidr;
  Table<ServiceGroupRef, std::string_view, HostOf> by_host;
  Table<PolicyEntryRef, std::string_view, PolicyOf> policies;
  Table<PolicyGroupRef, std::string_view, NamespaceOf> policies_of;
  // How many prefixes of each length by_cidr holds: which lengths a lookup has to try.
  std::array<uint32_t, 33> v4_lengths{};
  std::array<uint32_t, 129> v6_lengths{};

  const ServiceEntry* FindEntry(std::string_view ns, std::string_view hostname) const {
    const ServiceEntryRef* entry = services.Find(PairKey{ns, hostname});
    return entry ? entry->get() : nullptr;
  }
};

}  // namespace mesh::state
