#include "agent/controller/model/selector_index.h"

#include <algorithm>
#include <limits>

namespace mesh::controller {

void SelectorIndex::Set(const std::string& ns, const std::string& name,
                        const k8s::Labels& selector) {
  Erase(ns, name);
  if (selector.empty()) return;
  Space& space = spaces_[ns];
  Filed& filed = space.selectors[name];
  filed.selector = selector;
  size_t fewest = std::numeric_limits<size_t>::max();
  for (const auto& [key, value] : selector) {
    const auto others = space.by_label.find({key, value});
    const size_t count = others == space.by_label.end() ? 0 : others->second.size();
    if (count >= fewest) continue;
    fewest = count;
    filed.under = {key, value};
  }
  space.by_label[filed.under].insert(name);
}

void SelectorIndex::Erase(const std::string& ns, const std::string& name) {
  const auto space = spaces_.find(ns);
  if (space == spaces_.end()) return;
  const auto filed = space->second.selectors.find(name);
  if (filed == space->second.selectors.end()) return;
  const auto under = space->second.by_label.find(filed->second.under);
  under->second.erase(name);
  if (under->second.empty()) space->second.by_label.erase(under);
  space->second.selectors.erase(filed);
  if (space->second.selectors.empty()) spaces_.erase(space);
}

std::vector<std::string> SelectorIndex::Matching(const std::string& ns,
                                                 const k8s::Labels& labels) const {
  std::vector<std::string> names;
  const auto space = spaces_.find(ns);
  if (space == spaces_.end()) return names;
  for (const auto& [key, value] : labels) {
    const auto under = space->second.by_label.find({key, value});
    if (under == space->second.by_label.end()) continue;
    for (const std::string& name : under->second) {
      ++compared_;
      if (k8s::Matches(space->second.selectors.at(name).selector, labels)) names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace mesh::controller
