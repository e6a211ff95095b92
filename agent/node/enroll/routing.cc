#include "agent/node/enroll/routing.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/node/enroll/netlink.h"
#include "bpf/include/mesh_abi.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::node {
namespace {

constexpr uint32_t kTable = 100;
constexpr uint32_t kPriority = 32764;
constexpr uint32_t kMask = 0xfff;
constexpr int kLoopbackIndex = 1;  // lo is the first device of every namespace

NetlinkRequest Rule(uint16_t type, uint16_t flags, uint8_t family) {
  fib_rule_hdr header = {};
  header.family = family;
  header.action = FR_ACT_TO_TBL;
  header.table = kTable;
  NetlinkRequest request(type, flags, header);
  request.Attribute(FRA_PRIORITY, kPriority)
      .Attribute(FRA_FWMARK, static_cast<uint32_t>(MESH_ORIG_SRC_MARK))
      .Attribute(FRA_FWMASK, kMask)
      .Attribute(FRA_TABLE, kTable);
  return request;
}

NetlinkRequest Route(uint16_t type, uint16_t flags, uint8_t family) {
  rtmsg header = {};
  header.rtm_family = family;
  header.rtm_table = kTable;
  header.rtm_type = RTN_LOCAL;
  header.rtm_scope = type == RTM_NEWROUTE ? RT_SCOPE_HOST : RT_SCOPE_NOWHERE;
  header.rtm_protocol = RTPROT_STATIC;
  NetlinkRequest request(type, flags, header);
  request.Attribute(RTA_OIF, kLoopbackIndex).Attribute(RTA_TABLE, kTable);
  return request;
}

absl::Status WriteSysctl(const char* path, const char* value) {
  UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), value, std::strlen(value)) < 0)
    return Errno(errno, "write {}", path);
  return absl::OkStatus();
}

// 0 where IPv6 is off for lo, or not in the kernel at all.
bool HasIpv6() {
  UniqueFd fd(::open("/proc/sys/net/ipv6/conf/lo/disable_ipv6", O_RDONLY | O_CLOEXEC));
  char value = '1';
  return fd && ::read(fd.get(), &value, 1) == 1 && value == '0';
}

// Replies that belong to no socket (a reset where nobody listens) carry the mark only if told to;
// without it they leave for the real client, and the proxy waits for its deadline.
absl::Status ReflectMark() {
  RETURN_IF_ERROR(WriteSysctl("/proc/sys/net/ipv4/tcp_fwmark_accept", "1"));
  RETURN_IF_ERROR(WriteSysctl("/proc/sys/net/ipv4/fwmark_reflect", "1"));
  return HasIpv6() ? WriteSysctl("/proc/sys/net/ipv6/fwmark_reflect", "1") : absl::OkStatus();
}

// Kernels before 5.14 have no such thing.
absl::Status MigrateRequests() {
  const absl::Status status = WriteSysctl("/proc/sys/net/ipv4/tcp_migrate_req", "1");
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status AddFamily(uint8_t family) {
  RETURN_IF_ERROR(
      Route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, family).Send("add the pod's local route"));
  return Rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family)
      .Send("add the pod's routing rule", EEXIST);
}

absl::Status RemoveFamily(uint8_t family) {
  RETURN_IF_ERROR(Rule(RTM_DELRULE, 0, family).Send("remove the pod's routing rule", ENOENT));
  return Route(RTM_DELROUTE, 0, family).Send("remove the pod's local route", ESRCH);
}

absl::Status ChangeLoopback(const IpAddress& ip, uint16_t type, uint16_t flags, int tolerated) {
  const std::string bytes = ip.ToBytes();
  ifaddrmsg header = {};
  header.ifa_family = ip.IsV4() ? AF_INET : AF_INET6;
  header.ifa_prefixlen = static_cast<uint8_t>(bytes.size() * 8);
  header.ifa_flags = ip.IsV4() ? 0 : IFA_F_NODAD;
  header.ifa_index = kLoopbackIndex;
  NetlinkRequest request(type, flags, header);
  request.AttributeBytes(IFA_LOCAL, bytes.data(), bytes.size())
      .AttributeBytes(IFA_ADDRESS, bytes.data(), bytes.size());
  return request.Send(fmt::format("probe address {} on lo", ip.ToString()), tolerated);
}

}  // namespace

absl::Status AddSourceRouting(const Netns& netns) {
  return netns.Run([]() -> absl::Status {
    RETURN_IF_ERROR(ReflectMark());
    RETURN_IF_ERROR(MigrateRequests());
    RETURN_IF_ERROR(AddFamily(AF_INET));
    return HasIpv6() ? AddFamily(AF_INET6) : absl::OkStatus();
  });
}

absl::Status RemoveSourceRouting(const Netns& netns) {
  return netns.Run([]() -> absl::Status {
    RETURN_IF_ERROR(RemoveFamily(AF_INET));
    return HasIpv6() ? RemoveFamily(AF_INET6) : absl::OkStatus();
  });
}

absl::StatusOr<std::vector<IpAddress>> AddressesOf(const Netns& netns) {
  return netns.Run([]() -> absl::StatusOr<std::vector<IpAddress>> {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return Errno(errno, "list the pod's addresses");
    std::vector<IpAddress> ips;
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
      if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
      sockaddr_storage storage = {};
      const int family = entry->ifa_addr->sa_family;
      if (family != AF_INET && family != AF_INET6) continue;
      std::memcpy(&storage, entry->ifa_addr,
                  family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
      if (const auto address = SocketAddress::FromSockaddr(storage)) ips.push_back(address->ip);
    }
    ::freeifaddrs(list);
    std::ranges::sort(ips);
    return ips;
  });
}

absl::Status AddLoopbackAddress(const IpAddress& ip) {
  return ChangeLoopback(ip, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, EEXIST);
}

absl::Status RemoveLoopbackAddress(const IpAddress& ip) {
  return ChangeLoopback(ip, RTM_DELADDR, 0, EADDRNOTAVAIL);
}

}  // namespace mesh::node
