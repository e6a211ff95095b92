// Automatic addresses of ServiceEntry hosts: one IPv4 of 240.240.0.0/16 and one IPv6 of 2001:2::/48
// for each host of an entry, of the same number. What an entry's status says is kept, so addresses
// survive a restart of the controller.
//
// Bound: 65,534 hosts. Beyond that a host gets no address, and is reached by none until another
// gives its own back; `refused` counts them.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/k8s/object.h"

namespace mesh::controller {

class VipAllocator {
 public:
  // Addresses by host for `hosts`; those of other hosts of the entry are given back.
  using Addresses = std::map<std::string, std::vector<std::string>>;
  Addresses Allocate(const k8s::Key& key, const std::vector<std::string>& hosts,
                     const api::ServiceEntryStatus& status);
  // Takes in what a status says, so that nobody else is given it first.
  void Claim(const k8s::Key& key, const std::vector<std::string>& hosts,
             const api::ServiceEntryStatus& status);
  void Release(const k8s::Key& key);
  uint64_t refused() const { return refused_; }

 private:
  uint16_t Next();  // 0: none left
  std::map<k8s::Key, std::map<std::string, uint16_t>> held_;
  std::set<uint16_t> used_;
  uint16_t last_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace mesh::controller
