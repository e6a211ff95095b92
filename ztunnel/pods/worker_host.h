// Puts a pod on every worker of the process, with its name service on one of them, and keeps its
// certificate for as long as it is there.
//
// Owner: cmd. Thread: the main loop; workers are reached by Post and answer by Post.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/string_map.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/dns/worker.h"
#include "ztunnel/pods/pod_manager.h"
#include "ztunnel/tunnel/worker.h"

namespace mesh::pods {

struct WorkerRef {
  base::EventLoop* loop = nullptr;
  tunnel::Worker* tunnel = nullptr;
  dns::Worker* dns = nullptr;  // null: no name service
};

class WorkerHost final : public PodHost {
 public:
  WorkerHost(base::EventLoop& main, std::vector<WorkerRef> workers,
             identity::CertificateManager& certificates);

  void Start(tunnel::PodRef pod, std::function<void(absl::Status)> done) override;
  void Stop(tunnel::PodRef pod, tunnel::Worker::Removal removal) override;

 private:
  struct Starting;
  const WorkerRef& NameServiceOf(const std::string& uid) const;
  void OnAnswer(const std::shared_ptr<Starting>& starting, const absl::Status& status);
  void RemoveFromWorkers(const std::string& uid, tunnel::Worker::Removal removal);

  base::EventLoop& main_;
  const std::vector<WorkerRef> workers_;
  identity::CertificateManager& certificates_;
  StringMap<std::shared_ptr<Starting>> starting_;  // by uid, until every worker answered
};

}  // namespace mesh::pods
