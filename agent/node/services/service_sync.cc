#include "agent/node/services/service_sync.h"

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::node {

void ServiceSync::Apply(const ServiceTable& wanted) {
  size_t failures = 0;
  absl::Status last;
  const auto failed = [&](const absl::Status& status) {
    if (status.ok()) return false;
    ++failures;
    last = status;
    return true;
  };
  for (auto it = written_.begin(); it != written_.end();) {
    const bool stays = wanted.contains(it->first) || failed(dataplane_.EraseService(it->first));
    it = stays ? std::next(it) : written_.erase(it);
  }
  for (const auto& [front, backends] : wanted) {
    const auto it = written_.find(front);
    if (it != written_.end() && it->second == backends) continue;
    if (!failed(dataplane_.SetService(front, backends))) written_[front] = backends;
  }
  if (failures != 0 && failures != failures_) {
    Logger("services")
        ->error("ports of services are out of reach count={} err={}", failures, Describe(last));
  }
  failures_ = failures;
}

}  // namespace mesh::node
