// The file of CRL_PATH: read at start and whenever it has changed.
//
// A file that cannot be read, or holds no list, stops the proxy at start: peers that were taken
// back must not come in unseen. Later such a file is said in the log and counted, and the lists
// that were read last stay in force. Thread: the main loop's; counters: any.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "ztunnel/core/identity/revocation.h"

namespace mesh::cmd {

class RevocationFile {
 public:
  static constexpr absl::Duration kInterval = absl::Seconds(2);  // of asking Changed

  explicit RevocationFile(std::string path) : path_(std::move(path)) {}

  absl::StatusOr<identity::RevocationListsRef> Load();
  // The lists, when the file is another one than at the last call and can be read; else null.
  identity::RevocationListsRef Changed();

  struct Counters {
    std::atomic<uint64_t> lists{0};
    std::atomic<uint64_t> revoked{0};
    std::atomic<uint64_t> failures{0};  // to read a file that had changed
    std::atomic<int64_t> loaded_unix{0};
  };
  const Counters& counters() const { return counters_; }

 private:
  using Mark = std::array<int64_t, 5>;  // device, inode, size, time of change
  Mark MarkOf() const;                  // zeros: there is no file

  const std::string path_;
  Mark seen_{};
  Counters counters_;
};

}  // namespace mesh::cmd
