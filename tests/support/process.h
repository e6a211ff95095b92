// Runs a command to its end and keeps what it printed. For tests only.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace mesh::test {

struct Outcome {
  int code = -1;  // exit status; 128 + signal when killed; 124 when the time was up
  std::string out;
  std::string err;
};

// argv[0] is looked up in PATH. `input` is given on stdin. The child is killed when time is up.
Outcome RunCommand(const std::vector<std::string>& argv,
                   std::chrono::seconds limit = std::chrono::seconds(30),
                   const std::string& input = "");

// The process state as the kernel names it: 'R' running, 'T' stopped, 'Z' dead and not yet reaped;
// 0 when there is none.
char StateOf(int pid);
int ParentOf(int pid);  // 0 when there is none

// Stops a process for as long as this lives: what it would do meanwhile waits.
class Paused {
 public:
  explicit Paused(int pid);
  ~Paused();
  Paused(const Paused&) = delete;
  Paused& operator=(const Paused&) = delete;

 private:
  const int pid_;
};

// A command in the background; killed and reaped by the destructor.
class Background {
 public:
  explicit Background(const std::vector<std::string>& argv);
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  // Ends it with SIGTERM (SIGKILL after 5 s) and returns what it printed on stdout and stderr.
  Outcome Stop();
  std::string Printed() const;  // so far
  int pid() const { return pid_; }

 private:
  int pid_ = -1;
  std::string path_;  // file that both streams go to
};

}  // namespace mesh::test
