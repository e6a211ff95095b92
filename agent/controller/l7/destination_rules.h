// DestinationRules: which one applies to a client namespace and a service, and what of it to a port
// and a subset.
//
// Levels, the first that has a match: the client's namespace, the service's, the root namespace. In
// a level the exact host before the longest wildcard; rules of one host and namespace that are
// exported alike are one. A rule with a workloadSelector is for some clients of its own namespace,
// before all others.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/l7/directory.h"
#include "agent/controller/l7/names.h"
#include "proto/api/istio_traffic.pb.h"

namespace mesh::controller {

using DestinationRuleRef = std::shared_ptr<const api::DestinationRule>;

// Rules of one host merged.
struct MergedRule {
  std::string ns;
  std::string host;                            // complete, or a wildcard
  std::vector<DestinationRuleRef> rules;       // the oldest first; they outlive this
  const k8s::Labels* clients = nullptr;        // whom it is for; null: all
  const api::TrafficPolicy* policy = nullptr;  // of the first that has one
  std::vector<const api::Subset*> subsets;     // the first of each name

  const api::Subset* FindSubset(const std::string& name) const;
  std::string Name() const;    // "shop/reviews", of the first
  std::string Origin() const;  // "DestinationRule shop/reviews"
};

class DestinationRules {
 public:
  // `all` in any order.
  DestinationRules(std::vector<DestinationRuleRef> all, const Settings& settings);

  // Null: none. A client is a namespace, or the name of a rule that is for some clients.
  const MergedRule* For(const std::string& client, const L7Service& service) const;
  // The rules for some clients only that a service has, the one that counts first.
  std::vector<const MergedRule*> SelectingFor(const L7Service& service) const;
  // The view under which the clusters of a service go for clients of this namespace: empty when
  // they have what everybody has.
  std::string ViewOf(const std::string& client, const L7Service& service) const;

  std::set<std::string> Namespaces() const;  // that have rules

  // Label keys that subsets ask for.
  const std::set<std::string>& subset_keys() const { return subset_keys_; }

 private:
  // The rule that a client is the name of, if it is for the service; else the client's namespace.
  const MergedRule* Selecting(const L7Service& service, std::string& client) const;
  const MergedRule* Best(const std::string& ns, const std::string& client_ns,
                         const std::string& host) const;

  const Settings& settings_;
  std::map<std::string, std::vector<MergedRule>> by_namespace_;
  std::vector<MergedRule> selecting_;  // those with a workloadSelector
  std::set<std::string> subset_keys_;
};

// The blocks in force for a port and a subset. Null: the built-in defaults.
struct EffectivePolicy {
  const api::LoadBalancer* load_balancer = nullptr;
  const api::ConnectionPool* connection_pool = nullptr;
  const api::OutlierDetection* outlier_detection = nullptr;
  const api::ClientTls* tls = nullptr;
  const api::ProxyProtocol* proxy_protocol = nullptr;
  const api::RetryBudget* retry_budget = nullptr;
};
EffectivePolicy PolicyFor(const MergedRule& rule, uint32_t port, const std::string& subset);

}  // namespace mesh::controller
