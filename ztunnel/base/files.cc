#include "ztunnel/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh {
namespace {

absl::Status Fill(const std::string& path, std::string_view text, int mode) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd) return Errno(errno, "create {}", path);
  if (::fchmod(fd.get(), static_cast<mode_t>(mode)) != 0) return Errno(errno, "chmod {}", path);
  RETURN_IF_ERROR(WriteAll(fd.get(), text, path));
  if (::fsync(fd.get()) != 0) return Errno(errno, "sync {}", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit_bytes) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Errno(errno, "open {}", path);
  std::string text;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno(errno, "read {}", path);
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(n));
    if (text.size() > limit_bytes) {
      return ResourceExhausted("{} is larger than {} bytes", path, limit_bytes);
    }
  }
}

std::string ReadFileOr(const std::string& path, std::string_view otherwise) {
  absl::StatusOr<std::string> text = ReadFile(path);
  return text.ok() ? *std::move(text) : std::string(otherwise);
}

absl::Status WriteFile(const std::string& path, std::string_view text, int mode) {
  const size_t slash = path.rfind('/') + 1;  // 0 when there is none
  const std::string temporary =
      fmt::format("{}.{}.{}.tmp", path.substr(0, slash), path.substr(slash), ::getpid());
  absl::Status status = Fill(temporary, text, mode);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = Errno(errno, "rename {} to {}", temporary, path);
  }
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

absl::Status WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno(errno, "write {}", path);
    text.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace mesh
