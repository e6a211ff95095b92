#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

extern char** environ;

namespace mesh::test {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<char*> Argv(const std::vector<std::string>& argv) {
  std::vector<char*> pointers;
  for (const std::string& word : argv) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

int CodeOf(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

Outcome RunCommand(const std::vector<std::string>& argv, std::chrono::seconds limit,
                   const std::string& input) {
  Outcome outcome;
  int in[2], out[2], err[2];
  if (::pipe2(in, O_CLOEXEC) || ::pipe2(out, O_CLOEXEC) || ::pipe2(err, O_CLOEXEC)) return outcome;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, argv[0].c_str(), &actions, nullptr, Argv(argv).data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  ::close(err[1]);
  if (error == 0 && !input.empty() && ::write(in[1], input.data(), input.size()) < 0) {
    outcome.err = "cannot write to stdin";
  }
  ::close(in[1]);
  if (error != 0) {
    outcome.code = 127;
    outcome.err = "cannot run " + argv[0];
  }
  const auto deadline = Clock::now() + limit;
  pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  bool late = false;
  // The child's end is what counts, not the pipes': a daemon that it left behind may hold them
  // open.
  bool ended = error != 0;
  int status = 0;
  while (!ended || ::poll(fds, 2, 0) > 0) {
    if (::poll(fds, 2, 20) > 0) {
      bool read_something = false;
      for (int i = 0; i < 2; ++i) {
        if (!(fds[i].revents & (POLLIN | POLLHUP))) continue;
        char buffer[65536];
        const ssize_t n = ::read(fds[i].fd, buffer, sizeof(buffer));
        if (n > 0) {
          (i == 0 ? outcome.out : outcome.err).append(buffer, n);
          read_something = true;
        } else {
          fds[i].fd = -1 - fds[i].fd;  // poll ignores it from now on
        }
      }
      if (read_something) continue;
    }
    if (!ended && ::waitpid(pid, &status, WNOHANG) == pid) {
      ended = true;
      outcome.code = CodeOf(status);
    }
    if (ended && fds[0].fd < 0 && fds[1].fd < 0) break;
    if (!ended && Clock::now() > deadline) {
      late = true;
      ::kill(pid, SIGKILL);
      ::waitpid(pid, &status, 0);
      ended = true;
    }
  }
  ::close(out[0]);
  ::close(err[0]);
  if (late) outcome.code = 124;
  return outcome;
}

namespace {

// What follows the name in /proc/PID/stat, which is in parentheses and may hold any character.
std::pair<char, int> StatOf(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  char state = 0;
  int parent = 0;
  rest >> state >> parent;
  return {state, parent};
}

}  // namespace

char StateOf(int pid) { return StatOf(pid).first; }

int ParentOf(int pid) { return StatOf(pid).second; }

Paused::Paused(int pid) : pid_(pid) {
  if (pid_ > 1) ::kill(pid_, SIGSTOP);
}

Paused::~Paused() {
  if (pid_ > 1) ::kill(pid_, SIGCONT);
}

Background::Background(const std::vector<std::string>& argv) {
  char path[] = "/tmp/mesh-test-XXXXXX";
  const int fd = ::mkostemp(path, O_CLOEXEC);
  path_ = path;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, fd, 1);
  posix_spawn_file_actions_adddup2(&actions, fd, 2);
  if (::posix_spawnp(&pid_, argv[0].c_str(), &actions, nullptr, Argv(argv).data(), environ) != 0) {
    pid_ = -1;
  }
  posix_spawn_file_actions_destroy(&actions);
  ::close(fd);
}

std::string Background::Printed() const {
  std::ifstream file(path_);
  return {std::istreambuf_iterator<char>(file), {}};
}

Background::~Background() {
  if (pid_ > 0) Stop();
}

Outcome Background::Stop() {
  Outcome outcome;
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    int status = 0;
    const auto deadline = Clock::now() + std::chrono::seconds(5);
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
      if (Clock::now() > deadline) ::kill(pid_, SIGKILL);
      ::usleep(10'000);
    }
    outcome.code = CodeOf(status);
    pid_ = -1;
  }
  outcome.out = Printed();
  ::unlink(path_.c_str());
  return outcome;
}

}  // namespace mesh::test
