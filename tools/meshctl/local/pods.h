// The pods of a local mesh: makes what the plan asks for, ends what it does not, spreads them over
// nodes. Thread: the runtime's.
#pragma once

#include <list>
#include <memory>

#include "tools/meshctl/local/pod.h"

namespace mesh::local {

class Pods {
 public:
  explicit Pods(PodHost& host) : host_(host) {}

  void Apply(const std::vector<PodSet>& plan);
  void Tick(absl::Time now);
  // Something will be due soon without anybody telling.
  bool busy() const;
  size_t size() const { return pods_.size(); }

 private:
  void ApplyFixed(const PodSet& set);
  void ApplyScaled(const PodSet& set);
  void Create(const PodSet& set, std::string name);
  const NodeConfig* NodeFor(const Json& pod, std::string& problem) const;
  int FreeIndex(const NodeConfig& node, std::string_view wanted);
  std::vector<Pod*> Of(const ObjectKey& owner) const;  // without those that end

  PodHost& host_;
  std::list<std::unique_ptr<Pod>> pods_;
  std::vector<PodSet> plan_;
  std::map<int, int> next_index_;  // by node
};

}  // namespace mesh::local
