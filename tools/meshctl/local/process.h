// Starting programs inside a pod or a node: control group, network namespace, its own view of
// /etc/resolv.conf and /etc/hosts, host name. Also plain commands, run to their end.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>
#include <utility>
#include <vector>

namespace mesh::local {

struct LaunchSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in the PATH of `env`
  std::vector<std::string> env;   // NAME=value, the whole environment
  std::string workdir = {};
  std::string netns = {};     // path; empty: the caller's
  std::string cgroup = {};    // folder; empty: the caller's
  std::string hostname = {};  // with `binds`: in namespaces of its own
  std::vector<std::pair<std::string, std::string>> binds = {};  // file -> path that shows it
  std::string log_file =
      {};  // stdout and stderr, appended; stdin is /dev/null. Empty: all three inherited
};

// A child in a session of its own. NotFound when there is no such program; an error of any step
// between fork and exec comes back as a status. Safe with threads.
absl::StatusOr<int> Launch(const LaunchSpec& spec);

// The calling process becomes the program; returns only when it cannot. For single-threaded
// callers.
absl::Status Become(const LaunchSpec& spec);

struct CommandResult {
  int code = 0;        // exit status, 128 + signal
  std::string output;  // stdout and stderr
};
// Runs to the end; killed when `timeout` is over (DeadlineExceeded).
absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const std::string& input = "",
                                         absl::Duration timeout = absl::Seconds(20));
// The same; an exit status other than 0 is an error that carries the output.
absl::Status RunOrFail(const std::vector<std::string>& argv, const std::string& input = "");

bool ProcessAlive(int pid);
// The path of this program, and the folder it stands in.
std::string SelfPath();
std::string SelfDir();
std::string FindProgram(const std::string& name,
                        const std::string& path_variable);  // "" when not found

}  // namespace mesh::local
