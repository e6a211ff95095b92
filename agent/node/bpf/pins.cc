#include "agent/node/bpf/pins.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "ztunnel/base/status.h"

namespace mesh::node {

absl::Status MakeDirs(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  return error ? Errno(error.value(), "make {}", path) : absl::OkStatus();
}

absl::Status Unpin(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Errno(errno, "unpin {}", path);
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return error ? Errno(error.value(), "remove {}", path) : absl::OkStatus();
}

std::vector<std::string> Names(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

absl::StatusOr<UniqueFd> GetPinned(const std::string& path) {
  const int fd = ::bpf_obj_get(path.c_str());
  if (fd < 0) return Errno(errno, "open pin {}", path);
  return UniqueFd(fd);
}

absl::Status Pin(int fd, const std::string& path) {
  RETURN_IF_ERROR(Unpin(path));
  if (::bpf_obj_pin(fd, path.c_str()) != 0) return Errno(errno, "pin {}", path);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> LinkTarget(int link_fd) {
  bpf_link_info info = {};
  uint32_t length = sizeof(info);
  if (::bpf_obj_get_info_by_fd(link_fd, &info, &length) != 0) return Errno(errno, "read a link");
  if (info.type == BPF_LINK_TYPE_CGROUP) return info.cgroup.cgroup_id;
  if (info.type == BPF_LINK_TYPE_NETNS) return info.netns.netns_ino;
  return Internal("a link of type {} is pinned among the mesh's", static_cast<int>(info.type));
}

absl::Status Link(int program_fd, int target_fd, uint64_t target_id, bpf_attach_type type,
                  const std::string& path) {
  absl::StatusOr<UniqueFd> pinned = GetPinned(path);
  if (pinned.ok()) {
    ASSIGN_OR_RETURN(const uint64_t target, LinkTarget(pinned->get()));
    if (target == target_id) {
      if (::bpf_link_update(pinned->get(), program_fd, nullptr) == 0) return absl::OkStatus();
      return Errno(errno, "give link {} new code", path);
    }
  } else if (!absl::IsNotFound(pinned.status())) {
    return pinned.status();
  }
  UniqueFd link(::bpf_link_create(program_fd, target_fd, type, nullptr));
  if (!link) return Errno(errno, "attach for {}", path);
  return Pin(link.get(), path);
}

}  // namespace mesh::node
