// The objects as they are, with the indexes that the compiler asks. Passive: nothing here decides.
//
// Owner: Compiler. Thread: one.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/model/selector_index.h"
#include "agent/k8s/peer_authentication.h"
#include "agent/k8s/source.h"

namespace mesh::controller {

struct ObjectStore {
  template <typename T>
  using Named = std::map<std::string, std::shared_ptr<const T>>;  // by name
  template <typename T>
  using ByNamespace = std::map<std::string, Named<T>>;

  void Store(const k8s::Event& event);
  size_t size() const;

  // Null when there is none.
  template <typename T>
  static std::shared_ptr<const T> Find(const ByNamespace<T>& all, const std::string& ns,
                                       const std::string& name) {
    const auto space = all.find(ns);
    if (space == all.end()) return nullptr;
    const auto found = space->second.find(name);
    return found == space->second.end() ? nullptr : found->second;
  }
  template <typename T>
  static const Named<T>& In(const ByNamespace<T>& all, const std::string& ns) {
    static const Named<T> kNone;
    const auto space = all.find(ns);
    return space == all.end() ? kNone : space->second;
  }
  // The pods that a slice names as endpoints.
  static std::set<k8s::Key> PodsOf(const api::EndpointSlice& slice);
  const api::Namespace* SpaceOf(const std::string& ns) const;
  const api::GatewayClass* ClassOf(const api::Gateway& gateway) const;

  Named<api::Namespace> namespaces;
  Named<api::Node> nodes;
  Named<api::GatewayClass> gateway_classes;
  ByNamespace<api::Pod> pods;
  ByNamespace<api::Service> services;
  ByNamespace<api::EndpointSlice> slices;
  ByNamespace<api::AuthorizationPolicy> policies;
  ByNamespace<api::ServiceEntry> service_entries;
  ByNamespace<api::WorkloadEntry> workload_entries;
  ByNamespace<api::WorkloadGroup> workload_groups;
  ByNamespace<api::Gateway> gateways;
  ByNamespace<api::ConfigMap> config_maps;
  ByNamespace<api::ServiceAccount> service_accounts;
  ByNamespace<api::VirtualService> virtual_services;
  ByNamespace<api::DestinationRule> destination_rules;
  ByNamespace<api::RequestAuthentication> request_authentications;
  ByNamespace<api::Telemetry> telemetries;
  std::vector<k8s::PeerAuthenticationRef> peer_authentications;
  SelectorIndex service_selectors;
  SelectorIndex entry_selectors;                              // of ServiceEntries
  SelectorIndex policy_selectors;                             // of AuthorizationPolicies
  std::map<k8s::Key, std::set<k8s::Key>> slices_of_pod;       // that name it as an endpoint
  std::map<std::string, std::set<k8s::Key>> pods_on;          // by node
  std::map<std::string, std::set<k8s::Key>> entries_of_host;  // ServiceEntries
};

}  // namespace mesh::controller
