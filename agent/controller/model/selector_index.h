// Which selectors of a namespace a set of labels meets, found by label: each selector is filed
// under one of its labels, the one that has the fewest others, so that a lookup asks few of them.
//
// Owner: ObjectStore. Thread: one.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/k8s/labels.h"

namespace mesh::controller {

class SelectorIndex {
 public:
  // Replaces the selector of that name; an empty one selects nothing.
  void Set(const std::string& ns, const std::string& name, const k8s::Labels& selector);
  void Erase(const std::string& ns, const std::string& name);

  // Names of the selectors that `labels` meet, in order.
  std::vector<std::string> Matching(const std::string& ns, const k8s::Labels& labels) const;

  // Selectors compared so far: what lookups cost.
  uint64_t compared() const { return compared_; }

 private:
  using Label = std::pair<std::string, std::string>;
  struct Filed {
    k8s::Labels selector;
    Label under;
  };
  struct Space {
    std::map<std::string, Filed> selectors;           // by name
    std::map<Label, std::set<std::string>> by_label;  // names
  };

  std::map<std::string, Space> spaces_;
  mutable uint64_t compared_ = 0;
};

}  // namespace mesh::controller
