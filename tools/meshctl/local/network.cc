#include "tools/meshctl/local/network.h"

#include <fmt/format.h>

#include "tools/meshctl/local/addresses.h"
#include "tools/meshctl/local/files.h"
#include "tools/meshctl/local/process.h"
#include "ztunnel/base/netns.h"
#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

absl::Status Ip(std::vector<std::string> words) {
  words.insert(words.begin(), "ip");
  return RunOrFail(words);
}

// Many commands inside one namespace by one process.
absl::Status IpBatch(const std::string& netns, const std::string& lines) {
  return RunOrFail({"ip", "-n", netns, "-batch", "-"}, lines);
}

absl::Status Sysctl(const std::string& netns,
                    const std::vector<std::pair<std::string, std::string>>& values) {
  ASSIGN_OR_RETURN(const Netns ns, Netns::Open(Layout::netns_path(netns)));
  return ns.Run([&]() -> absl::Status {
    // /proc/sys/net shows the namespace of the thread that opens it.
    for (const auto& [key, value] : values) {
      RETURN_IF_ERROR(
          WithContext(WriteControl("/proc/sys/net/" + key, value), "sysctl in " + netns));
    }
    return absl::OkStatus();
  });
}

absl::Status AddNetns(const std::string& netns) {
  RETURN_IF_ERROR(Ip({"netns", "add", netns}));
  return IpBatch(netns, "link set lo up\n");
}

}  // namespace

absl::Status Network::Plug(const std::string& netns, const std::string& port, int index) const {
  const std::string fabric = layout_.netns_name("fabric");
  RETURN_IF_ERROR(Ip(
      {"-n", fabric, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", netns}));
  RETURN_IF_ERROR(
      IpBatch(fabric, fmt::format("link set {0} master fabric0\nlink set {0} up\n", port)));
  std::string lines = fmt::format("addr add {}/24 dev eth0\n", NodeIp(index, 4));
  if (config_.ipv6) lines += fmt::format("addr add {}/64 dev eth0 nodad\n", NodeIp(index, 6));
  return IpBatch(netns, lines + "link set eth0 up\n");
}

absl::Status Network::BuildNode(const NodeConfig& node) const {
  const std::string netns = layout_.netns_name(node.name);
  RETURN_IF_ERROR(AddNetns(netns));
  RETURN_IF_ERROR(Sysctl(netns, {{"ipv4/icmp_ratelimit", "0"},
                                 {"ipv4/ip_forward", "1"},
                                 {"ipv4/conf/all/rp_filter", "0"},
                                 {"ipv4/conf/default/rp_filter", "0"}}));
  if (config_.ipv6) {
    RETURN_IF_ERROR(
        Sysctl(netns, {{"ipv6/conf/all/disable_ipv6", "0"}, {"ipv6/conf/all/forwarding", "1"}}));
  }
  RETURN_IF_ERROR(Plug(netns, fmt::format("n{}", node.index), node.index));
  // A hardware address of its own: without one the bridge has its lowest port's, which changes as
  // pods come and go, and pods that know the old one send into the void for up to a minute.
  std::string lines =
      "link add br0 address 02:00:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0\n";
  lines += fmt::format("addr add {}/24 dev br0\n", PodIp(node.index, 1, 4));
  if (config_.ipv6) lines += fmt::format("addr add {}/64 dev br0 nodad\n", PodIp(node.index, 1, 6));
  lines += "link set br0 up\nroute add unreachable 10.96.0.0/16\n";
  // Where the cluster's name server listens (dns/name_server.h). While it does not, a closed port
  // says so to each question; an unreachable route would say it to five and then fall silent.
  lines += fmt::format("addr add {}/32 dev lo\n", kClusterDns);
  if (config_.ipv6) lines += "route add unreachable fd00:10:96::/112\n";
  for (const NodeConfig& other : config_.nodes) {
    if (other.index == node.index) continue;
    lines += fmt::format("route add {} via {}\n", PodCidr(other.index, 4), NodeIp(other.index, 4));
    if (config_.ipv6)
      lines +=
          fmt::format("route add {} via {}\n", PodCidr(other.index, 6), NodeIp(other.index, 6));
  }
  return IpBatch(netns, lines);
}

absl::Status Network::Build() const {
  RemoveAll();
  const std::string fabric = layout_.netns_name("fabric"),
                    controller = layout_.netns_name("controller");
  RETURN_IF_ERROR(AddNetns(fabric));
  RETURN_IF_ERROR(IpBatch(
      fabric,
      "link add fabric0 type bridge forward_delay 0 mcast_snooping 0\nlink set fabric0 up\n"));
  RETURN_IF_ERROR(AddNetns(controller));
  RETURN_IF_ERROR(Plug(controller, "controller", 254));
  // Waypoints reach it from their pods.
  std::string routes;
  for (const NodeConfig& node : config_.nodes) {
    routes += fmt::format("route add {} via {}\n", PodCidr(node.index, 4), NodeIp(node.index, 4));
    if (config_.ipv6) {
      routes += fmt::format("route add {} via {}\n", PodCidr(node.index, 6), NodeIp(node.index, 6));
    }
  }
  RETURN_IF_ERROR(IpBatch(controller, routes));
  for (const NodeConfig& node : config_.nodes) {
    RETURN_IF_ERROR(WithContext(BuildNode(node), "network of node " + node.name));
  }
  return absl::OkStatus();
}

absl::Status Network::AddPod(const NodeConfig& node, const std::string& netns,
                             int pod_index) const {
  const std::string node_netns = layout_.netns_name(node.name);
  if (Exists(Layout::netns_path(netns))) RemovePod(netns);
  const std::string port = fmt::format("v{}", pod_index);
  // The peer of a namespace that is being torn down may still be there for a moment.
  (void)RunCommand({"ip", "-n", node_netns, "link", "del", port});
  RETURN_IF_ERROR(AddNetns(netns));
  // The hardware address goes with the pod's address: who knew the pod that had it before finds the
  // next one at once.
  const std::string hardware = fmt::format("02:00:00:01:{:02x}:{:02x}", node.index, pod_index);
  RETURN_IF_ERROR(Ip({"-n", node_netns, "link", "add", port, "type", "veth", "peer", "name", "eth0",
                      "address", hardware, "netns", netns}));
  RETURN_IF_ERROR(
      IpBatch(node_netns, fmt::format("link set {0} master br0\nlink set {0} up\n", port)));
  std::string lines = fmt::format("addr add {}/24 dev eth0\n", PodIp(node.index, pod_index, 4));
  if (config_.ipv6)
    lines += fmt::format("addr add {}/64 dev eth0 nodad\n", PodIp(node.index, pod_index, 6));
  lines +=
      "link set eth0 up\n" + fmt::format("route add default via {}\n", PodIp(node.index, 1, 4));
  if (config_.ipv6) lines += fmt::format("route add ::/0 via {}\n", PodIp(node.index, 1, 6));
  return IpBatch(netns, lines);
}

void Network::RemovePod(const std::string& netns) const {
  (void)RunCommand({"ip", "netns", "del", netns});
}

int Network::RemoveAll() const {
  int removed = 0;
  for (const std::string& netns : ListDir("/run/netns")) {
    // "mesh-a-" is also how the names of a mesh "a-b" begin: that one's own folder tells them
    // apart.
    if (!netns.starts_with(layout_.netns_prefix())) continue;
    bool others = false;
    for (const std::string& mesh : ListDir("/run/mesh")) {
      others =
          others || (mesh.size() > layout_.name.size() && netns.starts_with("mesh-" + mesh + "-"));
    }
    if (others) continue;
    RemovePod(netns);
    ++removed;
  }
  return removed;
}

}  // namespace mesh::local
