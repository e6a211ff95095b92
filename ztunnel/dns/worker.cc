#include "ztunnel/dns/worker.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "ztunnel/base/status.h"
#include "ztunnel/dns/pod_server.h"
#include "ztunnel/dns/udp.h"

namespace mesh::dns {

std::vector<SocketAddress> ReadNameservers(const std::string& path) {
  std::vector<SocketAddress> servers;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string keyword, address;
    if (!(words >> keyword >> address) || keyword != "nameserver") continue;
    const auto ip = IpAddress::Parse(address);
    if (ip && !ip->IsLoopback()) servers.push_back({*ip, 53});
  }
  return servers;
}

Worker::Worker(base::EventLoop& loop, Config config, Metrics& metrics)
    : loop_(loop), config_(std::move(config)), metrics_(metrics) {}

Worker::~Worker() = default;

absl::Status Worker::AddPod(Client client, std::shared_ptr<const Netns> netns) {
  const std::string uid = client.uid;
  if (pods_.contains(uid)) return AlreadyExists("pod uid={} has a name service", uid);
  auto server = std::make_unique<PodServer>(*this, std::move(client), std::move(netns));
  if (const absl::Status status = server->Listen(); !status.ok()) {
    return WithContext(status, "name service");
  }
  pods_.emplace(uid, std::move(server));
  return absl::OkStatus();
}

void Worker::RemovePod(std::string_view uid) {
  if (const auto it = pods_.find(uid); it != pods_.end()) pods_.erase(it);
}

void Worker::RemoveAll() { pods_.clear(); }

uint16_t Worker::PortForTest(std::string_view uid) const {
  const auto it = pods_.find(uid);
  return it == pods_.end() ? 0 : it->second->port();
}

}  // namespace mesh::dns
