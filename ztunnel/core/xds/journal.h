// The last good configuration on disk, so that a node proxy which restarts while the control plane
// is away still knows its mesh.
//
// A journal: each accepted response is appended, so a change costs its own size; when the file has
// doubled it is written anew, by a thread of its own, and renamed into place. Each frame carries a
// checksum: a torn tail is cut off, not believed; what is left is what was known a little earlier,
// policies and workloads alike. A mark, on the disk before the file has its name, says that every
// type had been answered: a copy without it, or torn before it, is none. Owner: XdsClient. Thread:
// its loop. `max_bytes` on disk (twice that while it is rewritten). What cannot be written, or
// would be larger, ends the writing for this run with an error; the copy that is there stays.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "ztunnel/base/unique_fd.h"
#include "ztunnel/core/xds/delta_client.h"

namespace mesh::xds {

class Journal {
 public:
  static constexpr uint64_t kDefaultMaxBytes = uint64_t{512} << 20;

  // An empty path: no copy is kept, every call does nothing.
  explicit Journal(std::string path, uint64_t max_bytes = kDefaultMaxBytes);

  bool enabled() const { return !path_.empty(); }
  // One response a type, each resource in its last version; types that a copy begun in this run has
  // are taken from there. NotFound when there is no copy, Invalid when it is not whole. Appends go
  // on in this file then.
  absl::StatusOr<std::vector<Response>> Load();
  // Before the first Load or Begin, Append does nothing. Begin starts a copy from nothing beside
  // the old one; Commit, when every type was answered, puts it into its place.
  absl::Status Begin();
  absl::Status Commit();
  absl::Status Append(const Response& accepted);
  // Waits for a rewrite that goes on and puts it into its place, as a later Append does.
  absl::Status FinishRewrite();
  ~Journal();

 private:
  struct Written {
    UniqueFd file;
    uint64_t bytes = 0;
  };
  struct Rewrite;
  static absl::StatusOr<Written> WriteContent(const std::string& path,
                                              const std::vector<Response>& content);
  void StartRewrite();
  absl::Status Adopt(Written written);
  absl::Status AppendFrame(const Response& response);
  absl::Status Stop(const absl::Status& why);
  std::string NewPath() const { return path_ + ".new"; }

  std::string path_;
  const uint64_t max_bytes_;
  UniqueFd file_;
  bool pending_ = false;  // file_ is at NewPath()
  uint64_t bytes_ = 0;    // of file_
  uint64_t compact_at_ = 0;
  std::unique_ptr<Rewrite> rewrite_;  // while it goes on, and until it is put into its place
};

}  // namespace mesh::xds
