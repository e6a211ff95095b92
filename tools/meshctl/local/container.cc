#include "tools/meshctl/local/container.h"

#include <signal.h>

#include <algorithm>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::local {

using meshctl::Json;

Container::Container(Json spec, LaunchSpec launch, std::string problem, RestartPolicy policy,
                     Children& children)
    : spec_(std::move(spec)),
      name_(spec_.At("name").Str()),
      launch_(std::move(launch)),
      problem_(std::move(problem)),
      policy_(policy),
      children_(children),
      readiness_(spec_.At("readinessProbe"), children),
      liveness_(spec_.At("livenessProbe"), children),
      startup_(spec_.At("startupProbe"), children) {}

Container::~Container() {
  if (pid_ <= 0) return;
  children_.Forget(pid_);
  ::kill(-pid_, SIGKILL);
}

bool Container::finished() const {
  if (pid_ > 0 || !exit_code_) return false;
  return policy_ == RestartPolicy::kNever ||
         (policy_ == RestartPolicy::kOnFailure && *exit_code_ == 0);
}

bool Container::ready() const { return pid_ > 0 && startup_.passing() && readiness_.passing(); }

void Container::Start(absl::Time now) {
  auto pid = Launch(launch_);
  if (ever_started_) ++restarts_;
  ever_started_ = true;
  started_at_ = now;
  if (!pid.ok()) {
    problem_ = std::string(MessageOf(pid.status()));
    OnExit(127);
    return;
  }
  problem_.clear();
  pid_ = *pid;
  children_.Watch(pid_, [this](int code) { OnExit(code); });
  for (Probe* probe : {&readiness_, &liveness_, &startup_}) probe->Start(now);
}

void Container::OnExit(int code) {
  pid_ = -1;
  exit_code_ = code;
  for (Probe* probe : {&readiness_, &liveness_, &startup_}) probe->Stop();
  const absl::Time now = absl::Now();
  if (now - started_at_ > absl::Seconds(30)) backoff_ = absl::Seconds(1);
  next_start_ = now + backoff_;
  backoff_ = std::min(backoff_ * 2, absl::Seconds(60));
  Logger("pods")->info("container ended container={} code={} {}", name_, code, problem_);
}

void Container::Tick(absl::Time now, ProbePlace place) {
  if (pid_ <= 0) {
    const bool hopeless = launch_.argv.empty();
    if (!hopeless && !finished() && now >= next_start_) Start(now);
    return;
  }
  place.in_pod = launch_;
  place.container = spec_;
  startup_.Tick(now, place);
  if (startup_.passing()) {
    readiness_.Tick(now, place);
    liveness_.Tick(now, place);
  }
  if (liveness_.failed() || startup_.failed()) {
    Logger("pods")->warn("container restarted because its check failed container={}", name_);
    for (Probe* probe : {&readiness_, &liveness_, &startup_}) probe->Stop();
    Signal(SIGKILL);
  }
}

void Container::Signal(int signal) {
  if (pid_ > 0) ::kill(-pid_, signal);
}

Json Container::Status() const {
  Json status = Json::Obj({{"name", name_},
                           {"image", spec_.At("image")},
                           {"ready", ready()},
                           {"restartCount", restarts_}});
  if (pid_ > 0) {
    status["state"]["running"]["startedAt"] =
        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", started_at_, absl::UTCTimeZone());
    status["containerID"] = "process://" + std::to_string(pid_);
    return status;
  }
  if (finished()) {
    status["state"]["terminated"] = Json::Obj(
        {{"exitCode", *exit_code_}, {"reason", *exit_code_ == 0 ? "Completed" : "Error"}});
  } else if (!problem_.empty()) {
    status["state"]["waiting"] = Json::Obj({{"reason", "StartError"}, {"message", problem_}});
  } else if (exit_code_) {
    status["state"]["waiting"] = Json::Obj(
        {{"reason", "CrashLoopBackOff"}, {"message", "exit " + std::to_string(*exit_code_)}});
  } else {
    status["state"]["waiting"] = Json::Obj({{"reason", "ContainerCreating"}});
  }
  return status;
}

}  // namespace mesh::local
