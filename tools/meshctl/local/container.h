// One container of a pod: a process that is started, watched, checked and started again.
#pragma once

#include <absl/time/time.h>

#include <optional>
#include <string>

#include "tools/meshctl/json.h"
#include "tools/meshctl/local/children.h"
#include "tools/meshctl/local/probes.h"
#include "tools/meshctl/local/process.h"

namespace mesh::local {

enum class RestartPolicy { kAlways, kOnFailure, kNever };

// Back-off between starts: 1 s doubling to 60 s; a run of 30 s clears it.
class Container {
 public:
  // `launch` is complete but for argv; `problem` says why there can be no command (then it never
  // starts).
  Container(meshctl::Json spec, LaunchSpec launch, std::string problem, RestartPolicy policy,
            Children& children);
  ~Container();
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  // Starts it when it is due; runs its checks. `place.in_pod` and `.container` are filled in here.
  void Tick(absl::Time now, ProbePlace place);
  void Signal(int signal);  // to its whole session

  const std::string& name() const { return name_; }
  bool running() const { return pid_ > 0; }
  bool ready() const;
  bool finished() const;  // ended and will not be started again
  bool succeeded() const { return finished() && exit_code_ == 0; }
  meshctl::Json Status() const;  // as in status.containerStatuses

 private:
  void Start(absl::Time now);
  void OnExit(int code);

  meshctl::Json spec_;
  std::string name_;
  LaunchSpec launch_;
  std::string problem_;
  RestartPolicy policy_;
  Children& children_;
  Probe readiness_, liveness_, startup_;
  int pid_ = -1, restarts_ = 0;
  bool ever_started_ = false;
  std::optional<int> exit_code_;
  absl::Time started_at_, next_start_ = absl::InfinitePast();
  absl::Duration backoff_ = absl::Seconds(1);
};

}  // namespace mesh::local
