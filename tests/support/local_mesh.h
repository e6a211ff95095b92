// A whole mesh of this test's own: nodes and pods as namespaces, the real agent, ztunnel and
// controller, started and ended through meshctl as a person would.
//
//   LocalMesh mesh("traffic", {.nodes = 2});
//   mesh.Apply(R"(kind: Pod ...)");
//   mesh.Exec("shop/client", {"curl", "-s", "http://server:8080/"});
//
// The name carries the process id, so tests run beside each other and beside a mesh that somebody
// left running. The destructor takes everything down.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/process.h"

namespace mesh::test {

class LocalMesh {
 public:
  struct Options {
    int nodes = 2;
    std::vector<std::string> up_flags;
  };
  LocalMesh(std::string_view what, Options options);
  ~LocalMesh();
  LocalMesh(const LocalMesh&) = delete;
  LocalMesh& operator=(const LocalMesh&) = delete;

  // Why it is not up; empty when it is.
  const std::string& problem() const { return problem_; }
  const std::string& name() const { return name_; }
  std::string root() const { return "/run/mesh/" + name_; }

  Outcome Meshctl(std::vector<std::string> words, const std::string& input = "",
                  std::chrono::seconds limit = std::chrono::seconds(60)) const;
  Outcome Apply(const std::string& yaml) const;
  Outcome Delete(const std::string& yaml) const;
  // `pod` is namespace/name.
  Outcome Exec(std::string_view pod, std::vector<std::string> argv,
               std::chrono::seconds limit = std::chrono::seconds(30)) const;
  // argv prefix that runs the rest inside a pod, for Background.
  std::vector<std::string> ExecWords(std::string_view pod, std::vector<std::string> argv) const;
  // Waits until all pods named (namespace/name) are Running and, if in the mesh, enrolled.
  bool WaitReady(const std::vector<std::string>& pods) const;

  // Text of a node's log, metrics page and config dump.
  std::string ZtunnelLog(std::string_view node) const;
  std::string Metrics(std::string_view node) const;
  std::string NodeNetnsPath(std::string_view node) const;
  std::string PodIp(std::string_view pod, int family = 4) const;
  int PidOf(std::string_view process) const;  // "ztunnel-node-1", "agent-node-1", "controller"

 private:
  std::string name_;
  std::string problem_;
};

// Polls until `condition` holds; false when it did not within `limit`.
bool Eventually(const std::function<bool()>& condition,
                std::chrono::seconds limit = std::chrono::seconds(20));

// Sum of the series of `metric` whose label text contains every part of `labels`.
double MetricSum(std::string_view page, std::string_view metric,
                 const std::vector<std::string>& labels);

// The lines of `log` that contain every one of `parts`.
std::vector<std::string> Lines(std::string_view log, const std::vector<std::string>& parts);

}  // namespace mesh::test
