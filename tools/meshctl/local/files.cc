#include "tools/meshctl/local/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::local {
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
