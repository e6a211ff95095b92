// Writes statuses back as merge patches beside the objects, one file an object. The source lays
// them over the object; a user's file is never touched.
//
// Thread: the controller's.
#pragma once

#include <map>
#include <string>

#include "agent/controller/model/compiler.h"

namespace mesh::controller {

class StatusWriter {
 public:
  // An empty directory writes nothing. Patches of an earlier run that no object claims are removed
  // by Sweep().
  explicit StatusWriter(std::string directory) : directory_(std::move(directory)) {}

  // Statuses that changed; an empty one takes back what was written.
  void Write(const std::map<k8s::Key, ObjectStatus>& statuses);
  // All conditions that stand beside those statuses now (OwnsConditions).
  void WriteConditions(std::map<k8s::Key, api::Condition> conditions);
  void Sweep() const;

 private:
  std::string PathOf(const k8s::Key& key) const;
  void Update(const k8s::Key& key);

  const std::string directory_;
  std::map<k8s::Key, ObjectStatus> statuses_;
  std::map<k8s::Key, api::Condition> conditions_;
  std::map<k8s::Key, std::string> written_;  // without times
};

}  // namespace mesh::controller
