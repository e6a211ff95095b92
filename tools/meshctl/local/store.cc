#include "tools/meshctl/local/store.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <set>

#include "tools/meshctl/local/files.h"
#include "tools/meshctl/yaml.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

struct KindNames {
  std::string_view kind;
  std::array<std::string_view, 2> shorts;
};
constexpr KindNames kKinds[] = {
    {"Pod", {"po", ""}},
    {"Service", {"svc", ""}},
    {"Deployment", {"deploy", ""}},
    {"StatefulSet", {"sts", ""}},
    {"ReplicaSet", {"rs", ""}},
    {"Namespace", {"ns", ""}},
    {"Node", {"no", ""}},
    {"ServiceAccount", {"sa", ""}},
    {"ConfigMap", {"cm", ""}},
    {"Secret", {"", ""}},
    {"EndpointSlice", {"", ""}},
    {"PeerAuthentication", {"pa", ""}},
    {"AuthorizationPolicy", {"ap", "authz"}},
    {"RequestAuthentication", {"ra", ""}},
    {"VirtualService", {"vs", ""}},
    {"DestinationRule", {"dr", ""}},
    {"ServiceEntry", {"se", ""}},
    {"WorkloadEntry", {"we", ""}},
    {"WorkloadGroup", {"wg", ""}},
    {"Gateway", {"gw", "gtw"}},
    {"HTTPRoute", {"", ""}},
    {"Telemetry", {"telemetry", ""}},
};

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string Plural(const std::string& kind) {
  if (kind.ends_with("y")) return kind.substr(0, kind.size() - 1) + "ies";
  if (kind.ends_with("s")) return kind + "es";
  return kind + "s";
}

}  // namespace

bool IsClusterScoped(std::string_view kind) {
  static const std::set<std::string_view> kinds = {"Namespace",
                                                   "Node",
                                                   "ClusterRole",
                                                   "ClusterRoleBinding",
                                                   "GatewayClass",
                                                   "CustomResourceDefinition",
                                                   "PersistentVolume",
                                                   "StorageClass",
                                                   "PriorityClass",
                                                   "MutatingWebhookConfiguration",
                                                   "ValidatingWebhookConfiguration"};
  return kinds.contains(kind);
}

std::string CanonicalKind(std::string_view word) {
  const std::string lower = Lower(word);
  for (const KindNames& names : kKinds) {
    const std::string kind = Lower(names.kind);
    if (lower == kind || lower == Plural(kind) || lower == names.shorts[0] ||
        lower == names.shorts[1]) {
      return std::string(names.kind);
    }
  }
  return std::string(word);
}

std::vector<std::string_view> KnownKinds() {
  std::vector<std::string_view> kinds;
  for (const KindNames& names : kKinds) kinds.push_back(names.kind);
  return kinds;
}

ObjectKey KeyOf(const Json& object, std::string_view default_ns) {
  const Json& meta = object.At("metadata");
  ObjectKey key{object.At("kind").Str(), meta.At("namespace").Str(), meta.At("name").Str()};
  if (IsClusterScoped(key.kind)) {
    key.ns.clear();
  } else if (key.ns.empty()) {
    key.ns = default_ns;
  }
  return key;
}

std::vector<Json> Flatten(const Json& object) {
  if (!object.At("kind").Str().ends_with("List") || !object.At("items").IsArray()) return {object};
  return object.At("items").Items();
}

bool ObjectStore::ReadChanged(const std::string& path, File& file) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return false;
  const int64_t mtime = info.st_mtim.tv_sec * 1'000'000'000ll + info.st_mtim.tv_nsec;
  const auto inode = static_cast<int64_t>(info.st_ino);
  if (file.mtime_ns == mtime && file.size == info.st_size && file.inode == inode) return false;
  auto text = ReadFile(path);
  if (!text.ok()) return false;  // tried again at the next look
  file.mtime_ns = mtime;
  file.size = info.st_size;
  file.inode = inode;
  file.patch = path.ends_with(".patch.json");
  // JSON is read as JSON: much faster for the files that daemons write.
  std::vector<Json> objects;
  absl::Status status;
  if (path.ends_with(".json")) {
    auto json = Json::Parse(*text);
    if (json.ok()) objects = Flatten(*json);
    status = json.status();
  } else {
    auto documents = meshctl::ParseYaml(*text);
    if (documents.ok()) {
      for (const auto& document : *documents) {
        for (Json& object : Flatten(document.value)) objects.push_back(std::move(object));
      }
    }
    status = documents.status();
  }
  file.problem = status.ok() ? "" : std::string(MessageOf(status));
  if (status.ok()) file.objects = std::move(objects);
  return true;
}

bool ObjectStore::Reload() {
  bool changed = false;
  std::vector<std::string> order;
  for (const std::string& dir : dirs_) {
    for (std::string& path : ListManifests(dir)) {
      // A folder may lie inside another one of the list; the last place counts.
      order.erase(std::remove(order.begin(), order.end(), path), order.end());
      changed = ReadChanged(path, files_[path]) || changed;
      order.push_back(std::move(path));
    }
  }
  changed = changed || order != order_;
  if (!changed) return false;
  order_ = std::move(order);
  const std::set<std::string> present(order_.begin(), order_.end());
  std::erase_if(files_, [&](const auto& entry) { return !present.contains(entry.first); });

  Map objects;
  problems_.clear();
  for (const std::string& path : order_) {
    const File& file = files_[path];
    if (!file.problem.empty()) problems_.push_back({path, file.problem});
    for (const Json& object : file.objects) {
      ObjectKey key = KeyOf(object);
      if (key.kind.empty() || key.name.empty()) {
        problems_.push_back({path, "an object without kind or metadata.name"});
        continue;
      }
      if (file.patch && !objects.contains(key)) continue;
      Json& merged = objects[key];
      merged.Merge(object);
      if (!key.ns.empty()) merged["metadata"]["namespace"] = key.ns;
    }
  }
  objects_ = std::move(objects);
  return true;
}

const Json* ObjectStore::Find(const ObjectKey& key) const {
  const auto it = objects_.find(key);
  return it == objects_.end() ? nullptr : &it->second;
}

std::vector<const Json*> ObjectStore::OfKind(std::string_view kind) const {
  std::vector<const Json*> found;
  for (const auto& [key, object] : objects_) {
    if (key.kind == kind) found.push_back(&object);
  }
  return found;
}

std::vector<std::string> ObjectStore::FilesOf(const ObjectKey& key) const {
  std::vector<std::string> found;
  for (const std::string& path : order_) {
    for (const Json& object : files_.at(path).objects) {
      if (KeyOf(object) == key) {
        found.push_back(path);
        break;
      }
    }
  }
  return found;
}

}  // namespace mesh::local
