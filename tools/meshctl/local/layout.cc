#include "tools/meshctl/local/layout.h"

#include <fmt/format.h>

#include "tools/meshctl/json.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::local {

using meshctl::Json;

std::string ShortHash(std::string_view text, size_t length) {
  // No vowels and no look-alikes, as in the names that Kubernetes makes.
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  uint64_t hash = 14695981039346656037ull;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211ull;
  std::string out;
  for (size_t i = 0; i < length; ++i) {
    out += kLetters[hash % kLetters.size()];
    hash = hash / kLetters.size() ^ hash << 40;
  }
  return out;
}

std::string Layout::netns_name(std::string_view what) const {
  return netns_prefix() + std::string(what);
}

std::string Layout::pod_netns(std::string_view node, std::string_view ns,
                              std::string_view pod) const {
  // The namespace is part of the hash alone: two pods of one name are told apart without a long
  // name.
  const std::string full = fmt::format("{}{}-{}", netns_prefix(), node, pod);
  const std::string hash = ShortHash(fmt::format("{}/{}/{}", node, ns, pod), 6);
  return fmt::format("{}-{}", full.substr(0, 54), hash);
}

absl::Status CheckMeshName(std::string_view name) {
  const bool ok =
      !name.empty() && name.size() <= 40 && name.front() != '-' &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
          std::string_view::npos;
  if (ok) return absl::OkStatus();
  return Invalid("mesh name \"{}\": 1 to 40 letters, digits, '-' and '_', not beginning with '-'",
                 name);
}

std::vector<std::string> Config::SourceDirs(const Layout& layout) const {
  std::vector<std::string> dirs = manifest_dirs;
  dirs.push_back(layout.manifests());
  dirs.push_back(layout.run());
  dirs.push_back(layout.patch());
  return dirs;
}

absl::Status Config::Save(const Layout& layout) const {
  Json json;
  for (const NodeConfig& node : nodes) {
    json["nodes"].Push(Json::Obj({{"name", node.name}, {"index", node.index}}));
  }
  for (const std::string& dir : manifest_dirs) json["manifestDirs"].Push(dir);
  json["binDir"] = bin_dir;
  json["ipv6"] = ipv6;
  json["mesh"] = mesh;
  return WriteFile(layout.root() + "/config.json", json.Dump(true) + "\n");
}

absl::StatusOr<Config> Config::Load(const Layout& layout) {
  const std::string path = layout.root() + "/config.json";
  auto text = ReadFile(path);
  if (!text.ok()) return NotFound("no mesh \"{}\" on this machine", layout.name);
  auto json = Json::Parse(*text);
  if (!json.ok()) return WithContext(json.status(), path);
  Config config;
  for (const Json& node : json->At("nodes").Items()) {
    config.nodes.push_back({node.At("name").Str(), node.At("index").Int()});
  }
  for (const Json& dir : json->At("manifestDirs").Items())
    config.manifest_dirs.push_back(dir.Str());
  config.bin_dir = json->At("binDir").Str();
  config.ipv6 = json->At("ipv6").Bool(true);
  config.mesh = json->At("mesh").Bool(true);
  return config;
}

std::string NodeIp(int index, int family) {
  return family == 4 ? fmt::format("10.89.0.{}", index) : fmt::format("fd00:10:89::{:x}", index);
}

std::string ControllerAddress() { return "10.89.0.254:15012"; }

std::string PodCidr(int index, int family) {
  return family == 4 ? fmt::format("10.244.{}.0/24", index)
                     : fmt::format("fd00:10:244:{:x}::/64", index);
}

std::string PodIp(int node_index, int pod_index, int family) {
  return family == 4 ? fmt::format("10.244.{}.{}", node_index, pod_index)
                     : fmt::format("fd00:10:244:{:x}::{:x}", node_index, pod_index);
}

}  // namespace mesh::local
