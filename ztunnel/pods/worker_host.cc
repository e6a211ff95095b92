#include "ztunnel/pods/worker_host.h"

#include "ztunnel/base/status.h"

namespace mesh::pods {

// A start that waits for the answers of the workers. Main loop only.
struct WorkerHost::Starting {
  tunnel::PodRef pod;
  std::function<void(absl::Status)> done;
  size_t missing = 0;
  absl::Status error;
  bool stopped = false;
};

WorkerHost::WorkerHost(base::EventLoop& main, std::vector<WorkerRef> workers,
                       identity::CertificateManager& certificates)
    : main_(main), workers_(std::move(workers)), certificates_(certificates) {}

const WorkerRef& WorkerHost::NameServiceOf(const std::string& uid) const {
  return workers_[std::hash<std::string>()(uid) % workers_.size()];
}

void WorkerHost::Start(tunnel::PodRef pod, std::function<void(absl::Status)> done) {
  certificates_.Retain(pod->Identity());  // fetched while the listeners open
  auto starting = std::make_shared<Starting>();
  starting->pod = pod;
  starting->done = std::move(done);
  starting->missing = workers_.size();
  starting_[pod->uid] = starting;
  const WorkerRef& name_service = NameServiceOf(pod->uid);
  for (const WorkerRef& worker : workers_) {
    const bool named = &worker == &name_service && !pod->only_port;
    dns::Worker* dns = named ? worker.dns : nullptr;
    worker.loop->Post([this, pod, starting, dns, tunnel = worker.tunnel] {
      absl::Status status = tunnel->AddPod(pod);
      if (status.ok() && dns != nullptr) {
        status = dns->AddPod({pod->uid, pod->name, pod->ns, pod->service_account}, pod->netns);
        if (!status.ok()) tunnel->RemovePod(pod->uid, tunnel::Worker::Removal::kAbort);
      }
      main_.Post([this, starting, status] { OnAnswer(starting, status); });
    });
  }
}

void WorkerHost::OnAnswer(const std::shared_ptr<Starting>& starting, const absl::Status& status) {
  if (!status.ok() && starting->error.ok()) starting->error = status;
  if (--starting->missing > 0) return;
  const std::string& uid = starting->pod->uid;
  if (const auto it = starting_.find(uid); it != starting_.end() && it->second == starting) {
    starting_.erase(it);
  }
  if (!starting->stopped && !starting->error.ok()) {
    RemoveFromWorkers(uid, tunnel::Worker::Removal::kAbort);
    certificates_.Release(starting->pod->Identity());
  }
  starting->done(starting->error);
}

void WorkerHost::Stop(tunnel::PodRef pod, tunnel::Worker::Removal removal) {
  if (const auto it = starting_.find(pod->uid); it != starting_.end()) {
    it->second->stopped = true;
    starting_.erase(it);
  }
  RemoveFromWorkers(pod->uid, removal);
  certificates_.Release(pod->Identity());
}

void WorkerHost::RemoveFromWorkers(const std::string& uid, tunnel::Worker::Removal removal) {
  for (const WorkerRef& worker : workers_) {
    worker.loop->Post([uid, removal, tunnel = worker.tunnel, dns = worker.dns] {
      if (dns != nullptr) dns->RemovePod(uid);
      tunnel->RemovePod(uid, removal);
    });
  }
}

}  // namespace mesh::pods
