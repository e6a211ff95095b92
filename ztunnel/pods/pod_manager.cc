#include "ztunnel/pods/pod_manager.h"

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/registry.h"

namespace mesh::pods {

// One pod. Its address is stable; `generation` tells the answer of a start that was overtaken.
struct PodManager::Entry {
  tunnel::PodRef pod;
  uint64_t inode = 0;
  enum class Stage { kStarting, kUp, kFailed } stage = Stage::kStarting;
  absl::Status error;
  uint64_t generation = 0;
  base::EventLoop::TimerId retry = 0;
  std::vector<Done> waiting;  // told when the start that runs now ends
};

namespace {

const std::shared_ptr<spdlog::logger>& Log() {
  static const auto log = Logger("pods");
  return log;
}

std::string Describe(const tunnel::Pod& pod) {
  return fmt::format("pod={}/{} uid={}", pod.ns, pod.name, pod.uid);
}

bool SameInfo(const tunnel::Pod& a, const tunnel::Pod& b) {
  return a.name == b.name && a.ns == b.ns && a.service_account == b.service_account;
}

}  // namespace

PodManager::PodManager(base::EventLoop& loop, PodHost& host, telemetry::MetricsRegistry& registry,
                       std::string trust_domain, absl::Duration retry)
    : loop_(loop), host_(host), trust_domain_(std::move(trust_domain)), retry_(retry) {
  metrics_ = registry.Add([this](telemetry::MetricsWriter& writer) { CollectMetrics(writer); });
}

PodManager::~PodManager() {
  for (const auto& [uid, entry] : pods_) {
    if (entry->retry != 0) loop_.CancelTimer(entry->retry);
  }
}

void PodManager::BeginSnapshot() {
  snapshot_.emplace();
  synced_ = false;
}

void PodManager::SessionEnded() {
  snapshot_.reset();
  synced_ = false;
}

void PodManager::Add(AddRequest request, Done done) {
  if (!request.has_info) {
    Log()->error("pod refused: its information is missing uid={}", request.uid);
    done(Invalid("add of {} without workload_info", request.uid));
    return;
  }
  const Netns netns(std::move(request.netns));
  const auto inode = netns.Inode();
  auto held = netns.Duplicate();
  if (request.uid.empty() || !inode.ok() || !held.ok()) {
    done(request.uid.empty() ? Invalid("add without uid")
         : !inode.ok()       ? WithContext(inode.status(), "network namespace of " + request.uid)
                             : WithContext(held.status(), "network namespace of " + request.uid));
    return;
  }
  auto pod = std::make_shared<tunnel::Pod>();
  pod->uid = request.uid;
  pod->name = std::move(request.name);
  pod->ns = std::move(request.ns);
  pod->service_account = std::move(request.service_account);
  pod->trust_domain = trust_domain_;
  pod->netns = std::make_shared<const Netns>(*std::move(held));

  if (snapshot_) snapshot_->insert(pod->uid);
  auto it = pods_.find(pod->uid);
  if (it != pods_.end() && it->second->inode == *inode && SameInfo(*it->second->pod, *pod)) {
    if (it->second->stage == Entry::Stage::kUp) {
      done(absl::OkStatus());
      return;
    }
  } else if (it != pods_.end()) {
    Log()->info("pod changed, the old one drains {}", Describe(*pod));
    Remove(pod->uid, tunnel::Worker::Removal::kDrain);
    it = pods_.end();
  }
  if (draining_) {
    done(Cancelled("the proxy is draining"));
    return;
  }
  if (it == pods_.end()) {
    it = pods_.emplace(pod->uid, std::make_unique<Entry>()).first;
    it->second->pod = std::move(pod);
    it->second->inode = *inode;
    it->second->stage = Entry::Stage::kFailed;
    pending_.fetch_add(1, std::memory_order_relaxed);
  }
  Entry& entry = *it->second;
  entry.waiting.push_back(std::move(done));
  if (entry.stage == Entry::Stage::kFailed) Start(entry);
}

void PodManager::Start(Entry& entry) {
  if (entry.retry != 0) loop_.CancelTimer(std::exchange(entry.retry, 0));
  entry.stage = Entry::Stage::kStarting;
  entry.generation = ++generations_;
  host_.Start(entry.pod, [this, uid = entry.pod->uid, generation = entry.generation](
                             const absl::Status& status) { OnStarted(uid, generation, status); });
}

void PodManager::OnStarted(const std::string& uid, uint64_t generation,
                           const absl::Status& status) {
  const auto it = pods_.find(uid);
  // Removed or replaced meanwhile: who did that has answered the agent.
  if (it == pods_.end() || it->second->generation != generation) return;
  Entry& entry = *it->second;
  const bool was_failing = !entry.error.ok();
  entry.error = status;
  if (status.ok()) {
    entry.stage = Entry::Stage::kUp;
    pending_.fetch_sub(1, std::memory_order_relaxed);
    active_.fetch_add(1, std::memory_order_relaxed);
    started_.fetch_add(1, std::memory_order_relaxed);
    Log()->info("pod enrolled {}", Describe(*entry.pod));
  } else {
    entry.stage = Entry::Stage::kFailed;
    if (!was_failing) {
      Log()->warn("pod cannot be served yet, retrying {} err={}", Describe(*entry.pod),
                  Quoted(MessageOf(status)));
    }
    ScheduleRetry(entry);
  }
  for (const Done& done : std::exchange(entry.waiting, {})) done(status);
}

void PodManager::ScheduleRetry(Entry& entry) {
  if (entry.retry != 0) return;
  entry.retry = loop_.After(retry_, [this, &entry] {  // cancelled with the entry
    entry.retry = 0;
    if (!draining_) Start(entry);
  });
}

void PodManager::Remove(const std::string& uid, tunnel::Worker::Removal removal) {
  const auto it = pods_.find(uid);
  if (it == pods_.end()) return;
  Entry& entry = *it->second;
  if (entry.retry != 0) loop_.CancelTimer(entry.retry);
  if (entry.stage != Entry::Stage::kFailed) host_.Stop(entry.pod, removal);
  if (entry.stage == Entry::Stage::kUp) {
    active_.fetch_sub(1, std::memory_order_relaxed);
    stopped_.fetch_add(1, std::memory_order_relaxed);
    Log()->info("pod removed {}", Describe(*entry.pod));
  } else {
    pending_.fetch_sub(1, std::memory_order_relaxed);
  }
  for (const Done& done : std::exchange(entry.waiting, {})) {
    done(Cancelled("pod {} was removed while it started", uid));
  }
  pods_.erase(it);
}

void PodManager::Keep(const std::string& uid, Done done) {
  if (!snapshot_) {
    done(FailedPrecondition("keep of {} after the snapshot", uid));
    return;
  }
  // Not known here, and no namespace came with it: nothing that could be kept.
  if (!pods_.contains(uid)) {
    Log()->warn("the node agent keeps a pod that is not known here uid={}", uid);
    done(NotFound("pod {} is not known here, and came without its namespace", uid));
    return;
  }
  snapshot_->insert(uid);
  done(absl::OkStatus());
}

void PodManager::Del(const std::string& uid, Done done) {
  if (snapshot_) snapshot_->erase(uid);
  Remove(uid, tunnel::Worker::Removal::kAbort);
  done(absl::OkStatus());
}

void PodManager::SnapshotSent(Done done) {
  if (!snapshot_) {
    done(FailedPrecondition("a second snapshot_sent"));
    return;
  }
  const std::set<std::string> named = *std::move(snapshot_);
  snapshot_.reset();
  std::vector<std::string> gone;
  for (const auto& [uid, entry] : pods_) {
    if (!named.contains(uid)) gone.push_back(uid);
  }
  for (const std::string& uid : gone) Remove(uid, tunnel::Worker::Removal::kAbort);
  synced_ = true;
  Log()->info("snapshot of the node received pods={}", pods_.size());
  done(absl::OkStatus());
}

bool PodManager::Ready() const { return synced_ && pending_.load(std::memory_order_relaxed) == 0; }

std::vector<PodState> PodManager::Pods() const {
  std::vector<PodState> out;
  for (const auto& [uid, entry] : pods_) {
    out.push_back({entry->pod, entry->stage == Entry::Stage::kUp, entry->error});
  }
  return out;
}

void PodManager::CollectMetrics(telemetry::MetricsWriter& writer) {
  using telemetry::MetricType;
  writer.Family("workload_manager_active_proxy_count", MetricType::kGauge,
                "The total number of workloads that are served.");
  writer.SampleSigned("", active_.load(std::memory_order_relaxed));
  writer.Family("workload_manager_pending_proxy_count", MetricType::kGauge,
                "The total number of workloads that wait to be served.");
  writer.SampleSigned("", pending_.load(std::memory_order_relaxed));
  writer.Family("workload_manager_proxies_started", MetricType::kCounter,
                "The total number of workloads that were taken into service.");
  writer.Sample("", started_.load(std::memory_order_relaxed));
  writer.Family("workload_manager_proxies_stopped", MetricType::kCounter,
                "The total number of workloads that were taken out of service.");
  writer.Sample("", stopped_.load(std::memory_order_relaxed));
}

}  // namespace mesh::pods
