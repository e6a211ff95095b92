#include "agent/k8s/object_record.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::k8s {
namespace {

constexpr char kFile[] = "file";
constexpr char kObjects[] = "objects";

// FNV-1a. Names of files are longer than a name may be; the whole name stands inside.
uint64_t Hash(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

std::string Name(const std::string& file) { return fmt::format("{:016x}.json", Hash(file)); }

}  // namespace

absl::StatusOr<ObjectRecord> ObjectRecord::Open(std::string directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return Errno(error.value(), "make {}", directory);
  if (::chmod(directory.c_str(), 0700) != 0) return Errno(errno, "chmod {}", directory);
  return ObjectRecord(std::move(directory));
}

std::string ObjectRecord::PathOf(const std::string& file) const {
  return directory_ + "/" + Name(file);
}

absl::StatusOr<std::vector<ManifestEntry>> ObjectRecord::Read(const std::string& file) const {
  const std::string path = PathOf(file);
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  absl::StatusOr<Json> json = FromText(text);
  if (!json.ok()) return WithContext(json.status(), path);
  const Json* objects = Member(*json, kObjects);
  if (StringMember(*json, kFile) != file || objects == nullptr) {
    return Invalid("{} is not the record of {}", path, file);
  }
  std::vector<ManifestEntry> entries;
  for (const Json& object : objects->list_value().values()) {
    KeyResult found = KeyOf(object);
    // One of a kind that an earlier version knew.
    if (!found.key) continue;
    entries.push_back({.key = *std::move(found.key), .json = object, .line = 1, .lines = {}});
  }
  return entries;
}

absl::Status ObjectRecord::Write(const std::string& file,
                                 const std::vector<const Json*>& objects) const {
  Json json;
  Set(json, kFile, file);
  Json& list = Child(json, kObjects);
  list = EmptyList();
  for (const Json* object : objects) Append(list) = *object;
  const std::string text = ToText(json), path = PathOf(file);
  if (ReadFileOr(path) == text) return absl::OkStatus();
  return WriteFile(path, text, 0600);
}

absl::Status ObjectRecord::Forget(const std::string& file) const {
  const std::string path = PathOf(file);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Errno(errno, "remove {}", path);
  return absl::OkStatus();
}

void ObjectRecord::ForgetOthers(const std::set<std::string>& files) const {
  std::set<std::string> names;
  for (const std::string& file : files) names.insert(Name(file));
  std::error_code error;
  std::vector<std::filesystem::path> others;
  for (std::filesystem::directory_iterator it(directory_, error), end; !error && it != end;
       it.increment(error)) {
    if (!names.contains(it->path().filename().string())) others.push_back(it->path());
  }
  for (const std::filesystem::path& other : others) std::filesystem::remove(other, error);
}

}  // namespace mesh::k8s
