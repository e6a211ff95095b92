// Keeps the log files of a mesh bounded: one that is over the limit has its newer half kept.
// Writers append, so they need not be told.
#pragma once

#include <absl/time/time.h>

#include <string>

namespace mesh::local {

class LogLimit {
 public:
  static constexpr int64_t kMaxBytes = 64 << 20;
  void Tick(absl::Time now, const std::string& dir);  // looks every 10 s, also one folder below

 private:
  absl::Time next_ = absl::InfinitePast();
};

// Cuts one file to its last `keep_bytes`, from the beginning of a line. A line that is written at
// the same moment may be lost.
void KeepTail(const std::string& path, int64_t keep_bytes);

}  // namespace mesh::local
