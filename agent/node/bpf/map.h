// A typed handle on one map of the kernel. Sizes are checked when it is made, so a pinned map of
// another layout is an error then and never a wrong write.
//
// Owner: whoever made it; it owns the descriptor. Thread-safe: every call is one system call.
#pragma once

#include <absl/status/statusor.h>
#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::node {

template <typename Key, typename Value>
class BpfMap {
 public:
  BpfMap() = default;

  static absl::StatusOr<BpfMap> FromFd(UniqueFd fd, std::string name) {
    bpf_map_info info = {};
    uint32_t length = sizeof(info);
    if (::bpf_obj_get_info_by_fd(fd.get(), &info, &length) != 0) {
      return Errno(errno, "read the layout of map {}", name);
    }
    if (info.key_size != sizeof(Key) || info.value_size != sizeof(Value)) {
      return Internal("map {} has keys of {} and values of {} bytes, expected {} and {}", name,
                      info.key_size, info.value_size, sizeof(Key), sizeof(Value));
    }
    return BpfMap(std::move(fd), std::move(name), info.max_entries);
  }

  absl::Status Put(const Key& key, const Value& value) const {
    if (::bpf_map_update_elem(fd_.get(), &key, &value, BPF_ANY) != 0) {
      if (errno == E2BIG)
        return ResourceExhausted("map {} is full ({} entries)", name_, max_entries_);
      return Errno(errno, "write map {}", name_);
    }
    return absl::OkStatus();
  }
  // Absent is fine.
  absl::Status Erase(const Key& key) const {
    if (::bpf_map_delete_elem(fd_.get(), &key) != 0 && errno != ENOENT) {
      return Errno(errno, "delete from map {}", name_);
    }
    return absl::OkStatus();
  }
  std::optional<Value> Find(const Key& key) const {
    Value value{};
    if (::bpf_map_lookup_elem(fd_.get(), &key, &value) != 0) return std::nullopt;
    return value;
  }
  // A walk beside writers may miss or repeat entries; it ends after max_entries.
  std::vector<Key> Keys() const {
    std::vector<Key> keys;
    Key key{};
    const Key* previous = nullptr;
    while (keys.size() < max_entries_ && ::bpf_map_get_next_key(fd_.get(), previous, &key) == 0) {
      keys.push_back(key);
      previous = &keys.back();
    }
    return keys;
  }
  uint32_t max_entries() const { return max_entries_; }
  const std::string& name() const { return name_; }

 private:
  BpfMap(UniqueFd fd, std::string name, uint32_t max_entries)
      : fd_(std::move(fd)), name_(std::move(name)), max_entries_(max_entries) {}

  UniqueFd fd_;
  std::string name_;
  uint32_t max_entries_ = 0;
};

}  // namespace mesh::node
