// What the agent tells of itself: one value, as JSON for meshctl and as a metrics page.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/node/bpf/dataplane.h"
#include "agent/node/enroll/enroller.h"

namespace mesh::node {

struct NodeStatus {
  std::string node;
  int ztunnels = 0;
  bool source_synced = false;
  std::vector<PodReport> pods;
  std::vector<ProgramInfo> programs;
  std::vector<MapInfo> maps;
  Counters counters;
  std::map<int, uint64_t> cni_answers;         // by HTTP status
  std::map<std::string, uint64_t> pod_events;  // by type: Update Delete
};

std::string StatusJson(const NodeStatus& status);
std::string MetricsPage(const NodeStatus& status);  // Prometheus text format

}  // namespace mesh::node
