// The inside of a Policy: matches compiled to sets, and an index that names the few groups (or
// matches of a rule) that can match a connection. Only compile.cc and check.cc look here.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "proto/authorization.pb.h"
#include "ztunnel/core/authz/matchers.h"
#include "ztunnel/core/authz/policy.h"

namespace mesh::authz {

// What is computed once per check.
struct Probe {
  explicit Probe(const Connection& c);
  const Connection& connection;
  std::string principal;  // empty: unauthenticated
  std::string_view ns;    // of the source; empty: unauthenticated
  uint64_t principal_key, account_key, namespace_key, port_key;
};

// Keys are hashes. Two values with one hash only cost a needless look: every candidate is checked.
uint64_t PrincipalKey(std::string_view principal);
uint64_t AccountKey(std::string_view ns, std::string_view account);
uint64_t NamespaceKey(std::string_view ns);
uint64_t PortKey(uint32_t port);
uint64_t PrefixKey(const IpPrefix& masked);

// The keys of which a connection must have one to match. Lower ranks select better.
struct Keys {
  int rank = 0;
  std::vector<uint64_t> keys;
  std::vector<IpPrefix> prefixes;  // those keys that are source prefixes
};

class Index {
 public:
  void Add(uint32_t id, const std::optional<Keys>& keys);  // none: always a candidate
  // True as soon as `test` says so of a candidate. May ask about one candidate twice.
  template <typename Test>
  bool AnyOf(const Probe& probe, Test test) const;

 private:
  template <typename Test>
  bool AnyUnder(uint64_t key, Test& test) const;
  std::vector<uint32_t> always_;
  absl::flat_hash_map<uint64_t, std::vector<uint32_t>> by_key_;
  PrefixLengths lengths_;
};

struct CompiledMatch {
  StringMatcher namespaces, not_namespaces, principals, not_principals;
  CidrMatcher source_ips, not_source_ips, destination_ips, not_destination_ips;
  ValueMatcher<uint32_t> ports, not_ports;
  ValueMatcher<std::pair<std::string, std::string>> accounts, not_accounts;

  bool Matches(const Probe& probe) const;
};

struct CompiledRule {
  bool always = false;                 // a rule without matches
  std::vector<CompiledMatch> matches;  // without those that are empty: they never match
  Index index;

  bool Matches(const Probe& probe) const;
};

struct CompiledGroup {
  std::vector<CompiledRule> rules;
  bool Matches(const Probe& probe) const;
};

class Policy {
 public:
  bool Matches(const Probe& probe) const;

  istio::security::Authorization source;
  std::string key;
  PolicyScope scope = PolicyScope::kGlobal;
  bool deny = false;
  bool dry_run = false;
  std::vector<CompiledGroup> groups;
  Index index;
};

template <typename Test>
bool Index::AnyUnder(uint64_t key, Test& test) const {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return false;
  for (const uint32_t id : it->second) {
    if (test(id)) return true;
  }
  return false;
}

template <typename Test>
bool Index::AnyOf(const Probe& probe, Test test) const {
  for (const uint32_t id : always_) {
    if (test(id)) return true;
  }
  if (by_key_.empty()) return false;
  if (AnyUnder(probe.port_key, test) || AnyUnder(probe.namespace_key, test)) return true;
  if (!probe.principal.empty() &&
      (AnyUnder(probe.principal_key, test) || AnyUnder(probe.account_key, test))) {
    return true;
  }
  for (const uint8_t length : lengths_.Of(probe.connection.source_ip)) {
    if (AnyUnder(PrefixKey(IpPrefix::Masked(probe.connection.source_ip, length)), test))
      return true;
  }
  return false;
}

}  // namespace mesh::authz
