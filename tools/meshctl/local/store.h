// The objects of a local mesh, as the directories say: later directories overlay earlier ones (RFC
// 7396),
// *.patch.json only where there is an object to patch. A file that cannot be read keeps what it
// last gave.
//
// Thread: one. Reload() reads again only the files that changed.
#pragma once

#include <compare>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tools/meshctl/json.h"

namespace mesh::local {

using meshctl::Json;

struct ObjectKey {
  std::string kind, ns, name;  // ns is empty for kinds without one
  auto operator<=>(const ObjectKey&) const = default;
  std::string ToString() const { return kind + " " + (ns.empty() ? "" : ns + "/") + name; }
};

bool IsClusterScoped(std::string_view kind);
// "pods", "po", "Pod" -> "Pod"; unknown words come back as they are.
std::string CanonicalKind(std::string_view word);
// The kinds that have such words.
std::vector<std::string_view> KnownKinds();
// Key of an object; the namespace is `default_ns` where the object has none and its kind has.
ObjectKey KeyOf(const Json& object, std::string_view default_ns = "default");
// Items of a List, or the object itself.
std::vector<Json> Flatten(const Json& object);

struct Problem {
  std::string file;
  std::string message;
};

class ObjectStore {
 public:
  using Map = std::map<ObjectKey, Json>;

  explicit ObjectStore(std::vector<std::string> dirs) : dirs_(std::move(dirs)) {}

  // True when something is different from the last time.
  bool Reload();
  const Map& objects() const { return objects_; }
  const Json* Find(const ObjectKey& key) const;
  std::vector<const Json*> OfKind(std::string_view kind) const;
  const std::vector<Problem>& problems() const { return problems_; }
  // The files that an object is written in, in overlay order.
  std::vector<std::string> FilesOf(const ObjectKey& key) const;

 private:
  struct File {
    int64_t mtime_ns = 0, size = 0, inode = 0;
    bool patch = false;
    std::vector<Json> objects;
    std::string problem;
  };

  bool ReadChanged(const std::string& path, File& file);

  std::vector<std::string> dirs_;
  std::map<std::string, File> files_;
  std::vector<std::string> order_;
  Map objects_;
  std::vector<Problem> problems_;
};

}  // namespace mesh::local
