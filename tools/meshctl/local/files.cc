#include "tools/meshctl/local/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::local {
namespace {

absl::Status WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno(errno, "write {}", path);
    text.remove_prefix(n);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Errno(errno, "open {}", path);
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno(errno, "read {}", path);
    if (n == 0) return text;
    text.append(buffer, n);
  }
}

std::string ReadFileOr(const std::string& path, std::string_view otherwise) {
  auto text = ReadFile(path);
  return text.ok() ? *std::move(text) : std::string(otherwise);
}

absl::Status WriteFile(const std::string& path, std::string_view text, int mode) {
  const size_t slash = path.rfind('/');
  const std::string temporary = path.substr(0, slash + 1) + "." + path.substr(slash + 1) + "." +
                                std::to_string(::getpid()) + ".tmp";
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd) return Errno(errno, "create {}", temporary);
  absl::Status status = WriteAll(fd.get(), text, temporary);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = Errno(errno, "rename {} to {}", temporary, path);
  }
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

absl::Status WriteControl(const std::string& path, std::string_view text) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return Errno(errno, "open {}", path);
  return WriteAll(fd.get(), text, path);
}

absl::Status MakeDirs(const std::string& path, int mode) {
  for (size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return Errno(errno, "mkdir {}", part);
  }
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error && error.value() != ENOENT) return Errno(error.value(), "remove {}", path);
  return absl::OkStatus();
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::vector<std::string> ListDir(const std::string& path) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(path.c_str());
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> ListManifests(const std::string& path) {
  std::vector<std::string> found;
  for (const std::string& name : ListDir(path)) {
    const std::string full = path + "/" + name;
    struct stat info = {};
    if (::stat(full.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode)) {
      const auto below = ListManifests(full);
      found.insert(found.end(), below.begin(), below.end());
    } else if (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json")) {
      found.push_back(full);
    }
  }
  return found;
}

}  // namespace mesh::local
