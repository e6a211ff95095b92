#include "tools/meshctl/local/log_limit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/meshctl/local/files.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::local {

void KeepTail(const std::string& path, int64_t keep_bytes) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  struct stat info = {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || info.st_size <= keep_bytes) return;
  std::string tail(keep_bytes, '\0');
  const ssize_t n = ::pread(fd.get(), tail.data(), tail.size(), info.st_size - keep_bytes);
  if (n <= 0) return;
  tail.resize(n);
  tail.erase(0, tail.find('\n') + 1);
  if (::ftruncate(fd.get(), 0) != 0) return;
  if (::pwrite(fd.get(), tail.data(), tail.size(), 0) < 0) return;
}

void LogLimit::Tick(absl::Time now, const std::string& dir) {
  if (now < next_) return;
  next_ = now + absl::Seconds(10);
  for (const std::string& folder : {dir, dir + "/pods"}) {
    for (const std::string& name : ListDir(folder)) {
      struct stat info = {};
      const std::string path = folder + "/" + name;
      if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_size > kMaxBytes) {
        KeepTail(path, kMaxBytes / 2);
      }
    }
  }
}

}  // namespace mesh::local
