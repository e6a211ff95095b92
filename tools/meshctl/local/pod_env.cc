#include "tools/meshctl/local/pod_env.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

using meshctl::Json;

std::string FieldOf(const Json& pod, const std::string& path) {
  for (const char* map : {"labels", "annotations"}) {
    const std::string prefix = std::string("metadata.") + map + "['";
    if (path.starts_with(prefix) && path.ends_with("']")) {
      return pod.Get({"metadata", map, path.substr(prefix.size(), path.size() - prefix.size() - 2)})
          .Str();
    }
  }
  if (path == "status.podIPs" || path == "status.hostIPs") {
    std::string joined;
    for (const Json& ip : pod.Get({"status", path.substr(7)}).Items()) {
      joined += (joined.empty() ? "" : ",") + ip.At("ip").Str();
    }
    return joined;
  }
  const size_t dot = path.find('.');
  return dot == std::string::npos ? "" : pod.Get({path.substr(0, dot), path.substr(dot + 1)}).Str();
}

void Set(std::vector<std::string>& env, const std::string& name, const std::string& value) {
  for (std::string& entry : env) {
    if (entry.starts_with(name + "=")) {
      entry = name + "=" + value;
      return;
    }
  }
  env.push_back(name + "=" + value);
}

// Null without an error: optional and not there.
absl::StatusOr<const Json*> FindConfigMap(const Json& ref, const Json& pod,
                                          const ObjectStore& objects) {
  const ObjectKey key{"ConfigMap", pod.Get({"metadata", "namespace"}).Str("default"),
                      ref.At("name").Str()};
  const Json* map = objects.Find(key);
  if (!map && !ref.At("optional").Bool()) return Unavailable("{} is not there", key.ToString());
  return map;
}

absl::Status AddAll(const Json& source, const Json& pod, const ObjectStore& objects,
                    std::vector<std::string>& env) {
  if (!source.Has("configMapRef")) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Json* map, FindConfigMap(source.At("configMapRef"), pod, objects));
  if (!map) return absl::OkStatus();
  for (const auto& [name, value] : map->At("data").Members())
    Set(env, source.At("prefix").Str() + name, value.Str());
  return absl::OkStatus();
}

absl::Status AddOne(const Json& item, const Json& pod, const ObjectStore& objects,
                    std::vector<std::string>& env) {
  const std::string name = item.At("name").Str();
  const Json& from = item.At("valueFrom");
  if (from.Has("fieldRef")) {
    Set(env, name, FieldOf(pod, from.Get({"fieldRef", "fieldPath"}).Str()));
  } else if (from.Has("configMapKeyRef")) {
    const Json& ref = from.At("configMapKeyRef");
    ASSIGN_OR_RETURN(const Json* map, FindConfigMap(ref, pod, objects));
    const std::string key = ref.At("key").Str();
    if (map && map->At("data").Has(key)) {
      Set(env, name, map->At("data").At(key).Str());
    } else if (!ref.At("optional").Bool()) {
      return Unavailable("env {}: ConfigMap \"{}\" has no key \"{}\"", name, ref.At("name").Str(),
                         key);
    }
  } else if (from.IsNull()) {
    Set(env, name, ExpandVariables(item.At("value").Str(), env));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsPodField(std::string_view path) {
  constexpr std::array<std::string_view, 9> kFields = {
      "metadata.name", "metadata.namespace",      "metadata.uid",
      "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
      "status.podIP",  "status.podIPs",           "status.hostIPs"};
  const bool entry =
      (path.starts_with("metadata.labels['") || path.starts_with("metadata.annotations['")) &&
      path.ends_with("']");
  return entry || std::find(kFields.begin(), kFields.end(), path) != kFields.end();
}

std::string ExpandVariables(const std::string& text, const std::vector<std::string>& env) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 >= text.size()) {
      out += text[i];
      continue;
    }
    if (text[i + 1] == '$') {
      out += '$';
      ++i;
      continue;
    }
    const size_t end = text[i + 1] == '(' ? text.find(')', i) : std::string::npos;
    bool found = false;
    if (end != std::string::npos) {
      const std::string prefix = text.substr(i + 2, end - i - 2) + "=";
      for (const std::string& entry : env) {
        if (!entry.starts_with(prefix)) continue;
        out += entry.substr(prefix.size());
        i = end;
        found = true;
        break;
      }
    }
    if (!found) out += '$';
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> PodEnv(const Json& container, const Json& pod,
                                                const ObjectStore& objects,
                                                const std::string& bin_dir,
                                                const std::string& pod_dir) {
  std::vector<std::string> env = {
      "PATH=" + bin_dir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "HOME=/root",
      "LANG=C.UTF-8",
      "HOSTNAME=" + pod.Get({"metadata", "name"}).Str(),
      "POD_NAME=" + pod.Get({"metadata", "name"}).Str(),
      "MESH_POD_DIR=" + pod_dir};
  for (const Json& source : container.At("envFrom").Items())
    RETURN_IF_ERROR(AddAll(source, pod, objects, env));
  for (const Json& item : container.At("env").Items())
    RETURN_IF_ERROR(AddOne(item, pod, objects, env));
  return env;
}

}  // namespace mesh::local
