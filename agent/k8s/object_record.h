// The last good version of each manifest file's objects, on disk, so that a file that is broken
// stays what it was across a restart.
//
// A directory with one JSON file for each manifest file, replaced in one step. Owner: the source.
// Thread: one. Calls block. Whoever may write the directory decides policy: it is made for its
// owner alone.
#pragma once

#include <absl/status/statusor.h>

#include <set>
#include <string>
#include <vector>

#include "agent/k8s/manifest.h"

namespace mesh::k8s {

class ObjectRecord {
 public:
  // Makes the directory.
  static absl::StatusOr<ObjectRecord> Open(std::string directory);

  // NotFound: nothing was ever kept of that file, so it was never in force. Other errors: what was
  // in force is not known.
  absl::StatusOr<std::vector<ManifestEntry>> Read(const std::string& file) const;
  // Writes only what differs from what is there.
  absl::Status Write(const std::string& file, const std::vector<const Json*>& objects) const;
  absl::Status Forget(const std::string& file) const;
  // What is kept of other files goes.
  void ForgetOthers(const std::set<std::string>& files) const;

 private:
  explicit ObjectRecord(std::string directory) : directory_(std::move(directory)) {}
  std::string PathOf(const std::string& file) const;

  std::string directory_;
};

}  // namespace mesh::k8s
