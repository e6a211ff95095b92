#include "tools/meshctl/local/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

extern char** environ;

namespace mesh::local {
namespace {

// All that the child needs, made before fork: between fork and exec only system calls are made, as
// another thread may have held the allocator's lock.
struct Prepared {
  std::string program;
  std::vector<char*> argv;
  std::vector<char*> env;
  UniqueFd netns, cgroup_procs, log, null;
  const LaunchSpec* spec = nullptr;
};

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

absl::StatusOr<Prepared> Prepare(const LaunchSpec& spec) {
  if (spec.argv.empty()) return Invalid("no command");
  Prepared p;
  p.spec = &spec;
  std::string path_variable;
  for (const std::string& entry : spec.env) {
    if (entry.starts_with("PATH=")) path_variable = entry.substr(5);
  }
  p.program = FindProgram(spec.argv[0], path_variable);
  if (p.program.empty())
    return NotFound("program \"{}\" is not found (PATH is {})", spec.argv[0], path_variable);
  p.argv = Pointers(spec.argv);
  p.env = Pointers(spec.env);
  if (!spec.netns.empty()) {
    p.netns.Reset(::open(spec.netns.c_str(), O_RDONLY | O_CLOEXEC));
    if (!p.netns) return Errno(errno, "open network namespace {}", spec.netns);
  }
  if (!spec.cgroup.empty()) {
    p.cgroup_procs.Reset(::open((spec.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!p.cgroup_procs) return Errno(errno, "open cgroup {}", spec.cgroup);
  }
  if (!spec.log_file.empty()) {
    p.log.Reset(::open(spec.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!p.log) return Errno(errno, "open log {}", spec.log_file);
    p.null.Reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  return p;
}

// The name of the step that failed (errno is set); does not return when all went well.
const char* Enter(Prepared& p) {
  const LaunchSpec& spec = *p.spec;
  if (p.cgroup_procs && ::write(p.cgroup_procs.get(), "0", 1) != 1) return "join cgroup";
  if (p.netns && ::setns(p.netns.get(), CLONE_NEWNET) != 0) return "enter network namespace";
  if (!spec.binds.empty()) {
    if (::unshare(CLONE_NEWNS | CLONE_NEWUTS) != 0) return "make mount namespace";
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
      return "make mounts private";
    for (const auto& [from, to] : spec.binds) {
      if (::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) != 0) return "bind mount";
    }
    if (!spec.hostname.empty() && ::sethostname(spec.hostname.data(), spec.hostname.size()) != 0) {
      return "set host name";
    }
  }
  if (!spec.workdir.empty() && ::chdir(spec.workdir.c_str()) != 0)
    return "change to working directory";
  if (p.log &&
      (::dup2(p.null.get(), 0) < 0 || ::dup2(p.log.get(), 1) < 0 || ::dup2(p.log.get(), 2) < 0)) {
    return "redirect output";
  }
  ::execve(p.program.c_str(), p.argv.data(), p.env.data());
  return "execute";
}

struct Failure {
  int error = 0;
  const char* step = nullptr;  // a literal: the same address in parent and child
};

}  // namespace

absl::StatusOr<int> Launch(const LaunchSpec& spec) {
  ASSIGN_OR_RETURN(Prepared prepared, Prepare(spec));
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return Errno(errno, "pipe");
  UniqueFd reader(report[0]), writer(report[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return Errno(errno, "fork");
  if (pid == 0) {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int sig : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD}) ::signal(sig, SIG_DFL);
    ::setsid();
    Failure failure;
    failure.step = Enter(prepared);
    failure.error = errno;
    if (::write(writer.get(), &failure, sizeof(failure)) < 0) ::_exit(126);
    ::_exit(127);
  }
  writer.Reset();
  Failure failure;
  ssize_t n;
  do {
    n = ::read(reader.get(), &failure, sizeof(failure));
  } while (n < 0 && errno == EINTR);
  if (n != sizeof(failure)) return pid;
  ::waitpid(pid, nullptr, 0);
  return Errno(failure.error, "{} for {}", failure.step, spec.argv[0]);
}

absl::Status Become(const LaunchSpec& spec) {
  ASSIGN_OR_RETURN(Prepared prepared, Prepare(spec));
  const char* step = Enter(prepared);
  return Errno(errno, "{} for {}", step, spec.argv[0]);
}

absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const std::string& input, absl::Duration timeout) {
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) return Errno(errno, "pipe");
  UniqueFd in_read(in[0]), in_write(in[1]);
  if (::pipe2(out, O_CLOEXEC) != 0) return Errno(errno, "pipe");
  UniqueFd out_read(out[0]), out_write(out[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in_read.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, out_write.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, out_write.get(), 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  ::sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  std::vector<char*> words = Pointers(argv);
  const int error =
      ::posix_spawnp(&pid, argv[0].c_str(), &actions, &attributes, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return Errno(error, "run {}", argv[0]);
  in_read.Reset();
  out_write.Reset();
  if (!input.empty() && ::write(in_write.get(), input.data(), input.size()) < 0) {
    // It ended before it read all: its exit status says why.
  }
  in_write.Reset();
  CommandResult result;
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const auto left = absl::ToInt64Milliseconds(deadline - absl::Now());
    pollfd fd = {out_read.get(), POLLIN, 0};
    if (left <= 0 || ::poll(&fd, 1, static_cast<int>(left)) == 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
      return DeadlineExceeded("{} did not end within {}", argv[0], absl::FormatDuration(timeout));
    }
    char buffer[16384];
    const ssize_t n = ::read(out_read.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (result.output.size() < (8u << 20)) result.output.append(buffer, n);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

absl::Status RunOrFail(const std::vector<std::string>& argv, const std::string& input) {
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand(argv, input));
  if (result.code == 0) return absl::OkStatus();
  std::string line;
  for (const std::string& word : argv) line += (line.empty() ? "" : " ") + word;
  return Internal("{}: exit {}: {}", line, result.code, result.output);
}

bool ProcessAlive(int pid) { return pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM); }

std::string SelfPath() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path));
  return std::string(path, n > 0 ? n : 0);
}

std::string SelfDir() {
  const std::string self = SelfPath();
  return self.substr(0, self.rfind('/'));
}

std::string FindProgram(const std::string& name, const std::string& path_variable) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0 ? name : "";
  size_t at = 0;
  while (at <= path_variable.size()) {
    const size_t end = std::min(path_variable.find(':', at), path_variable.size());
    const std::string full = path_variable.substr(at, end - at) + "/" + name;
    if (::access(full.c_str(), X_OK) == 0) return full;
    at = end + 1;
  }
  return "";
}

}  // namespace mesh::local
