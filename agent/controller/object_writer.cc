#include "agent/controller/object_writer.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {

std::string ObjectWriter::PathOf(const k8s::Key& key) const {
  std::string kind(k8s::NameOf(key.kind));
  for (char& c : kind) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return fmt::format("{}/made_{}_{}_{}.json", directory_, kind, key.ns, key.name);
}

void ObjectWriter::Write(const std::map<k8s::Key, std::string>& objects) {
  if (directory_.empty()) return;
  ::mkdir(directory_.c_str(), 0755);
  for (const auto& [key, text] : objects) {
    if (text.empty()) {
      if (written_.erase(key) == 0) continue;
      ::unlink(PathOf(key).c_str());
      Logger("objects")->info("removed object={}", Quoted(key.ToString()));
      continue;
    }
    if (const absl::Status done = WriteFile(PathOf(key), text, 0644); !done.ok()) {
      Logger("objects")->warn("not written object={} err={}", Quoted(key.ToString()),
                              Describe(done));
      continue;
    }
    if (!written_.contains(key)) Logger("objects")->info("made object={}", Quoted(key.ToString()));
    written_[key] = text;
  }
}

void ObjectWriter::Sweep() const {
  if (directory_.empty()) return;
  std::set<std::string> claimed;
  for (const auto& [key, text] : written_) claimed.insert(PathOf(key));
  DIR* dir = ::opendir(directory_.c_str());
  if (dir == nullptr) return;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    const std::string path = directory_ + "/" + name;
    if (name.rfind("made_", 0) == 0 && !claimed.contains(path)) ::unlink(path.c_str());
  }
  ::closedir(dir);
}

}  // namespace mesh::controller
