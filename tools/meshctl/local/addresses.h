// Service addresses: every Service that should have a cluster address gets one, and keeps it. What
// was given is a merge patch beside the manifests, so the table is read back from there after a
// restart.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <set>
#include <string>

#include "tools/meshctl/local/layout.h"
#include "tools/meshctl/local/store.h"

namespace mesh::local {

// 10.96.0.0/16 without the first 256 (10.96.0.10 is the name server's), fd00:10:96::/112 the same
// way.
class ServiceAddresses {
 public:
  explicit ServiceAddresses(const Layout& layout, bool ipv6) : layout_(layout), ipv6_(ipv6) {}

  // Gives addresses to new Services of `user` and takes them back from those that went. Addresses
  // that a manifest asks for itself are kept free for it.
  absl::Status Reconcile(const ObjectStore& user);

 private:
  std::string PatchFile(const ObjectKey& key) const;
  int Take(std::string_view hint);

  Layout layout_;
  bool ipv6_;
  bool loaded_ = false;
  std::map<ObjectKey, int> given_;  // last 16 bits of the address
  std::map<ObjectKey, std::string> written_;
  std::set<int> used_;
};

constexpr const char* kClusterDns = "10.96.0.10";

// Which families a Service is to have, first the primary one: spec.ipFamilies and ipFamilyPolicy.
std::vector<int> FamiliesOf(const Json& service, bool ipv6);

}  // namespace mesh::local
