#include "agent/controller/model/vip_allocator.h"

#include <fmt/format.h>

#include <algorithm>

#include "ztunnel/base/ip.h"

namespace mesh::controller {
namespace {

constexpr uint32_t kPool = 0xF0F00000;  // 240.240.0.0
constexpr uint16_t kLargest = 65'534;

// The number of an address of the pool; 0: it is another's.
uint16_t NumberOf(const std::string& text) {
  const auto ip = IpAddress::Parse(text);
  if (!ip || !ip->IsV4() || (ip->v4_host_order() & 0xFFFF0000) != kPool) return 0;
  const uint32_t number = ip->v4_host_order() & 0xFFFF;
  return number <= kLargest ? static_cast<uint16_t>(number) : uint16_t{0};
}

std::vector<std::string> TextOf(uint16_t number) {
  return {IpAddress::V4(kPool | number).ToString(), fmt::format("2001:2::{:x}", number)};
}

}  // namespace

void VipAllocator::Claim(const k8s::Key& key, const std::vector<std::string>& hosts,
                         const api::ServiceEntryStatus& status) {
  for (const api::ServiceEntryAddress& address : status.addresses()) {
    const uint16_t number = NumberOf(address.value());
    if (number == 0 || std::find(hosts.begin(), hosts.end(), address.host()) == hosts.end()) {
      continue;
    }
    const auto held = held_.find(key);
    if (held != held_.end() && held->second.count(address.host()) != 0) continue;
    if (used_.insert(number).second) {
      held_[key][address.host()] = number;
      last_ = std::max(last_, number);
    }
  }
}

VipAllocator::Addresses VipAllocator::Allocate(const k8s::Key& key,
                                               const std::vector<std::string>& hosts,
                                               const api::ServiceEntryStatus& status) {
  Claim(key, hosts, status);
  std::map<std::string, uint16_t>& held = held_[key];
  for (auto it = held.begin(); it != held.end();) {
    if (std::find(hosts.begin(), hosts.end(), it->first) == hosts.end()) {
      used_.erase(it->second);
      it = held.erase(it);
    } else {
      ++it;
    }
  }
  Addresses addresses;
  for (const std::string& host : hosts) {
    uint16_t& number = held[host];
    if (number == 0) number = Next();
    if (number == 0) {
      held.erase(host);
      ++refused_;
    } else {
      addresses[host] = TextOf(number);
    }
  }
  if (held.empty()) held_.erase(key);
  return addresses;
}

void VipAllocator::Release(const k8s::Key& key) {
  const auto held = held_.find(key);
  if (held == held_.end()) return;
  for (const auto& [host, number] : held->second) used_.erase(number);
  held_.erase(held);
}

uint16_t VipAllocator::Next() {
  if (used_.size() >= kLargest) return 0;
  // What was given back is taken last: clients may still hold its old meaning.
  do {
    last_ = last_ >= kLargest ? uint16_t{1} : static_cast<uint16_t>(last_ + 1);
  } while (used_.count(last_) != 0);
  used_.insert(last_);
  return last_;
}

}  // namespace mesh::controller
