// Objects that the controller makes itself (Compiler::TakeObjects), as files of a directory that is
// one of its sources: they come back as everybody's objects do.
//
// Owner: Controller. Thread: its.
#pragma once

#include <map>
#include <string>

#include "agent/k8s/object.h"

namespace mesh::controller {

class ObjectWriter {
 public:
  // Empty: nothing is written.
  explicit ObjectWriter(std::string directory) : directory_(std::move(directory)) {}

  // JSON by object; empty text removes.
  void Write(const std::map<k8s::Key, std::string>& objects);
  // Removes what an earlier run made and this one does not.
  void Sweep() const;

 private:
  std::string PathOf(const k8s::Key& key) const;

  const std::string directory_;
  std::map<k8s::Key, std::string> written_;
};

}  // namespace mesh::controller
