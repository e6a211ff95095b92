#include "ztunnel/tunnel/policy_watch.h"

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/tunnel/worker_core.h"

namespace mesh::tunnel {

struct PolicyWatch::Destination {
  std::string uid;
  state::WorkloadRef workload;
  std::vector<authz::PolicyRef> policies;  // of the worker's state
  std::list<LiveConnection*> members;
  std::list<LiveConnection*>::iterator due;  // the first that is to be asked about again
};

namespace {

telemetry::ConnectionInfo InfoOf(const LiveConnection::Subject& subject) {
  telemetry::ConnectionInfo info;
  info.src = {subject.connection.source_ip, 0};
  info.dst = {subject.connection.destination_ip, subject.connection.destination_port};
  info.source_identity = subject.connection.source;
  return info;
}

std::string SourceOf(const LiveConnection::Subject& subject) {
  const auto& source = subject.connection.source;
  return source ? source->ToString() : "plain text";
}

absl::Status StatusOf(const authz::Decision& decision, const LiveConnection::Subject& subject) {
  if (decision.allowed) return absl::OkStatus();
  return telemetry::WithReason(PermissionDenied("{} to port {} of {}: {}", SourceOf(subject),
                                                subject.connection.destination_port,
                                                subject.destination->uid, decision.explanation),
                               MESH_REASON_POLICY_DENY);
}

void Log(const WorkerCore& core, const authz::Decision& decision,
         const LiveConnection::Subject& subject) {
  static const auto log = Logger("authz");
  const auto level = core.config.policy_info_logging ? spdlog::level::info : spdlog::level::debug;
  if (!log->should_log(level)) return;
  log->log(level, "policy source={} destination={} port={} allowed={} verdict={}",
           Quoted(SourceOf(subject)), subject.destination->uid, subject.connection.destination_port,
           decision.allowed, Quoted(decision.explanation));
}

}  // namespace

PolicyWatch::PolicyWatch(WorkerCore& core) : core_(core) {}

PolicyWatch::~PolicyWatch() {
  if (turn_ != 0) core_.loop.CancelTimer(turn_);
}

PolicyWatch::Destination& PolicyWatch::DestinationOf(const state::Workload& workload) {
  std::unique_ptr<Destination>& destination = destinations_[workload.uid.str()];
  if (destination == nullptr) {
    destination = std::make_unique<Destination>();
    destination->uid = workload.uid.str();
    destination->due = destination->members.end();
  }
  return *destination;
}

absl::Status PolicyWatch::Begin(LiveConnection& live) {
  const LiveConnection::Subject& subject = *live.subject;
  Destination& destination = DestinationOf(*subject.destination);
  if (destination.workload == nullptr) {
    // What it is by now; the caller may have waited since it looked.
    destination.workload = core_.state->FindWorkloadByUid(destination.uid);
    if (destination.workload == nullptr) destination.workload = subject.destination;
    destination.policies = core_.state->PoliciesFor(*destination.workload);
  }
  live.watched = {&destination, destination.members.insert(destination.members.end(), &live)};
  const authz::Decision decision = authz::Check(destination.policies, subject.connection);
  for (const std::string& would : decision.dry_run) core_.metrics.DryRun(InfoOf(subject), would);
  Log(core_, decision, subject);
  return StatusOf(decision, subject);
}

void PolicyWatch::End(LiveConnection& live) {
  Destination* destination = live.watched.destination;
  if (destination == nullptr) return;
  if (destination->due == live.watched.at) ++destination->due;
  destination->members.erase(live.watched.at);
  live.watched.destination = nullptr;
  if (destination->members.empty()) destinations_.erase(std::string(destination->uid));
}

void PolicyWatch::OnState() {
  for (const auto& [uid, destination] : destinations_) {
    if (auto now = core_.state->FindWorkloadByUid(uid)) destination->workload = std::move(now);
    std::vector<authz::PolicyRef> policies = core_.state->PoliciesFor(*destination->workload);
    if (policies == destination->policies) continue;
    destination->policies = std::move(policies);
    destination->due = destination->members.begin();
  }
  Turn();
}

void PolicyWatch::Turn() {
  if (turn_ != 0) core_.loop.CancelTimer(std::exchange(turn_, 0));
  int left = kChecksPerTurn;
  for (const auto& [uid, destination] : destinations_) {
    while (destination->due != destination->members.end()) {
      if (left-- == 0) {
        turn_ = core_.loop.After(absl::ZeroDuration(), [this] {
          turn_ = 0;
          Turn();
        });
        return;
      }
      // Ending a connection now lets its task end later: nothing is erased here.
      LiveConnection& live = **destination->due++;
      const LiveConnection::Subject& subject = *live.subject;
      const authz::Decision decision =
          authz::Check(destination->policies, subject.connection, authz::DryRun::kLeaveOut);
      if (!decision.allowed) live.Abort(StatusOf(decision, subject));
    }
  }
}

}  // namespace mesh::tunnel
