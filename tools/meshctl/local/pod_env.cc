#include "tools/meshctl/local/pod_env.h"

#include <cstdlib>

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
  if (path == "status.podIPs") {
    std::string joined;
    for (const Json& ip : pod.Get({"status", "podIPs"}).Items()) {
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

}  // namespace

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

std::vector<std::string> PodEnv(const Json& container, const Json& pod,
                                const std::string& bin_dir) {
  std::vector<std::string> env = {
      "PATH=" + bin_dir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "HOME=/root", "LANG=C.UTF-8", "HOSTNAME=" + pod.Get({"metadata", "name"}).Str(),
      "POD_NAME=" + pod.Get({"metadata", "name"}).Str()};
  for (const Json& item : container.At("env").Items()) {
    const std::string field = item.Get({"valueFrom", "fieldRef", "fieldPath"}).Str();
    const std::string value =
        field.empty() ? ExpandVariables(item.At("value").Str(), env) : FieldOf(pod, field);
    Set(env, item.At("name").Str(), value);
  }
  return env;
}

}  // namespace mesh::local
