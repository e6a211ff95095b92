// The daemons of a local mesh: the controller, the cluster's name server, and on each node an agent
// and a ztunnel. Started
// with what a cluster would give them, started again when they end, with back-off (200 ms doubling
// to 10 s; a run of 20 s clears it). Process ids are published in ROOT/run/pids/. Thread: the
// runtime's.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <list>
#include <optional>
#include <string>

#include "tools/meshctl/local/pod.h"
#include "tools/meshctl/local/tokens.h"

namespace mesh::local {

class Supervisor {
 public:
  Supervisor(PodHost& host, TokenSigner signer);

  absl::Status Prepare();  // folders, tokens, groups
  void Tick(absl::Time now);
  Json Status() const;  // [{name, pid, state, restarts, since, lastExit}]
  bool all_running() const;

 private:
  struct Daemon {
    std::string name;
    LaunchSpec launch;
    std::string needs;  // a file that must be there before the start
    int pid = -1, restarts = -1;
    std::optional<int> last_exit;
    std::string problem;
    absl::Time since = absl::InfinitePast(), next = absl::InfinitePast();
    absl::Duration backoff = absl::Milliseconds(200);
  };

  void AddController();
  void AddNameServer();
  void AddNode(const NodeConfig& node);
  void Start(Daemon& daemon, absl::Time now);
  absl::Status RefreshTokens(absl::Time now);
  std::vector<std::string> SourceFlags() const;

  PodHost& host_;
  TokenSigner signer_;
  std::list<Daemon> daemons_;
  std::map<std::string, TokenSigner::Subject> subjects_;
  absl::Time refresh_at_ = absl::InfinitePast();
};

}  // namespace mesh::local
