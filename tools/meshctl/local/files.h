// Folders and control files, beside what ztunnel/base/files.h does.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <string_view>
#include <vector>

namespace mesh::local {

// Into an existing file as it is: cgroup and /proc/sys files.
absl::Status WriteControl(const std::string& path, std::string_view text);
absl::Status MakeDirs(const std::string& path, int mode = 0755);
absl::Status RemoveTree(const std::string& path);  // fine when there is none
bool Exists(const std::string& path);
// Names in a folder, sorted, without those beginning with '.'; empty when there is no folder.
std::vector<std::string> ListDir(const std::string& path);
// Regular files below a folder whose names end in one of .yaml .yml .json, sorted by path.
std::vector<std::string> ListManifests(const std::string& path);

}  // namespace mesh::local
