// meshctl local apply, delete, get.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "agent/k8s/manifest.h"
#include "tools/meshctl/commands/health.h"
#include "tools/meshctl/commands/manifests.h"
#include "tools/meshctl/context.h"
#include "tools/meshctl/json.h"
#include "tools/meshctl/local/files.h"
#include "tools/meshctl/local/workload_check.h"
#include "tools/meshctl/output.h"
#include "tools/meshctl/yaml.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::meshctl {
namespace {

using local::ObjectKey;
using local::ObjectStore;

struct Input {
  std::string name, text;
};

// Files, folders and "-" as texts. What cannot be read is told and counted.
std::vector<Input> ReadInputs(const std::vector<std::string>& files, bool& failed) {
  std::vector<Input> inputs;
  for (const std::string& file : files) {
    std::vector<std::string> paths = {file};
    struct stat info = {};
    if (file != "-" && ::stat(file.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
      paths = local::ListManifests(file);
    for (const std::string& path : paths) {
      auto text = ReadFile(path == "-" ? "/dev/stdin" : path);
      if (!text.ok()) {
        PrintErr(fmt::format("error: {}", MessageOf(text.status())));
        failed = true;
        continue;
      }
      inputs.push_back({path == "-" ? "<stdin>" : path, *std::move(text)});
    }
  }
  return inputs;
}

std::string FileOf(const local::Layout& layout, const ObjectKey& key) {
  std::string name = key.kind;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return fmt::format("{}/{}_{}{}{}.yaml", layout.manifests(), name, key.ns,
                     key.ns.empty() ? "" : "_", key.name);
}

// Takes an object out of a file of the mesh that may hold others too.
absl::Status RemoveFromFile(const std::string& path, const ObjectKey& key) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  ASSIGN_OR_RETURN(const auto documents, ParseYaml(text));
  std::string rest;
  for (const Document& document : documents) {
    for (const Json& object : local::Flatten(document.value)) {
      if (local::KeyOf(object) != key) rest += "---\n" + ToYaml(object);
    }
  }
  if (!rest.empty()) return WriteFile(path, rest);
  if (::unlink(path.c_str()) != 0) return Errno(errno, "remove {}", path);
  return absl::OkStatus();
}

// The user's own folders are never written to.
bool IsMeshFile(const local::Layout& layout, const std::string& path) {
  return path.starts_with(layout.manifests() + "/");
}

ObjectStore LoadManifests(const local::Layout& layout, const local::Config& config) {
  std::vector<std::string> dirs = config.manifest_dirs;
  dirs.push_back(layout.manifests());
  ObjectStore store(dirs);
  store.Reload();
  return store;
}

int ApplyOne(const Context& context, const ObjectStore& before, Json object) {
  if (!context.ns.empty()) {
    const ObjectKey as_written = local::KeyOf(object, "");
    if (as_written.ns.empty() && !local::IsClusterScoped(as_written.kind))
      object["metadata"]["namespace"] = context.ns;
  }
  object.Erase("status");
  const ObjectKey key = local::KeyOf(object);
  const Json* old = before.Find(key);
  const std::string path = FileOf(context.layout, key);
  absl::Status status;
  std::string foreign;
  for (const std::string& file : before.FilesOf(key)) {
    if (file == path) continue;
    if (!IsMeshFile(context.layout, file))
      foreign = file;
    else
      status.Update(RemoveFromFile(file, key));
  }
  if (status.ok()) status = WriteFile(path, ToYaml(object));
  if (!status.ok()) {
    PrintErr(fmt::format("error: {}: {}", key.ToString(), MessageOf(status)));
    return kFailed;
  }
  Json same = object;
  if (!key.ns.empty()) same["metadata"]["namespace"] = key.ns;
  Print(fmt::format("{} {}\n", key.ToString(),
                    !old           ? "created"
                    : *old == same ? "unchanged"
                                   : "configured"));
  if (!foreign.empty())
    PrintErr(fmt::format("warning: {}: {} says more about it and is merged under this",
                         key.ToString(), foreign));
  return kOk;
}

void Tell(const k8s::Problem& problem) {
  PrintErr(fmt::format("{}: {}", problem.level == k8s::Level::kError ? "error" : "warning",
                       problem.ToString()));
}

// Kinds that make pods elsewhere and not here are an error: the mesh would be without those pods.
k8s::Problem InLocalMode(k8s::Problem problem) {
  const std::string kind = problem.object.substr(0, problem.object.find(' '));
  if (problem.field == "kind" && local::IsForeignWorkload(kind)) {
    problem.level = k8s::Level::kError;
    problem.reason = fmt::format(
        "local mode runs Deployment, ReplicaSet, StatefulSet and Pod objects, no {}", kind);
  }
  return problem;
}

// Tells what of a workload is not done here; false when it is refused for that.
bool CheckRunnable(const std::string& file, const k8s::ManifestEntry& entry, const Json& object) {
  bool runnable = true;
  for (const local::Remark& remark : local::CheckWorkload(object)) {
    const auto level = remark.refused ? k8s::Level::kError : k8s::Level::kWarning;
    Tell(k8s::MakeProblem(file, entry, {level, remark.field, remark.reason}));
    runnable = runnable && !remark.refused;
  }
  return runnable;
}

// Removes one object; false when there was none.
bool DeleteOne(const Context& context, const ObjectStore& user, const ObjectStore& all,
               const ObjectKey& key, int& code) {
  bool found = false;
  for (const std::string& file : user.FilesOf(key)) {
    found = true;
    if (!IsMeshFile(context.layout, file)) {
      PrintErr(fmt::format("error: {} stands in {}: remove it there", key.ToString(), file));
      code = kFailed;
      continue;
    }
    const absl::Status status = RemoveFromFile(file, key);
    if (!status.ok()) {
      PrintErr(fmt::format("error: {}: {}", key.ToString(), MessageOf(status)));
      code = kFailed;
    }
  }
  if (!found && key.kind == "Pod" &&
      all.Find(key)) {  // a workload's pod: another one takes its place
    found = ::unlink(context.layout.pod_file(key.ns, key.name).c_str()) == 0;
  }
  if (found && code == kOk) Print(key.ToString() + " deleted\n");
  if (key.kind == "Namespace") {
    for (const auto& [other, object] : user.objects()) {
      if (other.ns != key.name) continue;
      found = DeleteOne(context, user, all, other, code) || found;
    }
  }
  return found;
}

// Where else an object of that kind and name is, for somebody who forgot -n.
std::string Elsewhere(const ObjectStore& store, const ObjectKey& key) {
  for (const auto& [other, object] : store.objects()) {
    if (other.kind == key.kind && other.name == key.name && other.ns != key.ns)
      return fmt::format("; there is one in namespace {}", other.ns);
  }
  return "";
}

std::string Ports(const Json& service) {
  std::string text;
  for (const Json& port : service.Get({"spec", "ports"}).Items()) {
    text += fmt::format("{}{}/{}", text.empty() ? "" : ",", port.At("port").Str(),
                        port.At("protocol").Str("TCP"));
  }
  return text;
}

void PrintTable(const Context& context, const std::string& kind,
                const std::vector<const Json*>& found, const ObjectStore& store) {
  const bool pods = kind == "Pod", services = kind == "Service";
  std::vector<std::string> head = {"NAMESPACE", "NAME"};
  if (pods) head.insert(head.end(), {"NODE", "IP", "STATUS", "MESH", "AGE"});
  if (services) head.insert(head.end(), {"TYPE", "CLUSTER-IP", "PORTS"});
  if (!pods && !services && context.output == Output::kWide) head.push_back("FILE");
  Table table(head);
  for (const Json* object : found) {
    std::vector<std::string> row = {object->Get({"metadata", "namespace"}).Str(),
                                    object->Get({"metadata", "name"}).Str()};
    if (pods) {
      row.insert(row.end(),
                 {object->Get({"spec", "nodeName"}).Str(), object->Get({"status", "podIP"}).Str(),
                  PodStatusText(*object), MeshStateOf(*object),
                  Age(object->Get({"metadata", "creationTimestamp"}).Str())});
    } else if (services) {
      row.insert(row.end(), {object->Get({"spec", "type"}).Str("ClusterIP"),
                             object->Get({"spec", "clusterIP"}).Str(), Ports(*object)});
    } else if (context.output == Output::kWide) {
      const auto files = store.FilesOf(local::KeyOf(*object));
      row.push_back(files.empty() ? "" : files.front());
    }
    table.Add(std::move(row));
  }
  Print(table.Text());
}

// What the controller says of objects whose files do not carry it: those that it refuses, or of
// which it honours a part.
void AddConditions(const Context& context, std::vector<Json>& objects) {
  const auto page = ControllerPage(context.layout, "/debug/conditions");
  if (!page.ok()) return;
  std::map<ObjectKey, const Json*> told;
  for (const Json& item : page->Items()) {
    told[{item.At("kind").Str(), item.At("namespace").Str(), item.At("name").Str()}] =
        &item.At("condition");
  }
  for (Json& object : objects) {
    const auto it = told.find(local::KeyOf(object));
    if (it == told.end()) continue;
    bool there = false;
    for (const Json& condition : object.Get({"status", "conditions"}).Items()) {
      there = there || condition.At("type") == it->second->At("type");
    }
    if (!there) object["status"]["conditions"].Push(*it->second);
  }
}

}  // namespace

int Apply(const Context& context, const std::vector<std::string>& files) {
  local::Config config;
  if (!context.Load(config)) return kNotRunning;
  bool failed = false;
  const std::vector<Input> inputs = ReadInputs(files, failed);
  int applied = 0;
  for (const Input& input : inputs) {
    const ObjectStore before = LoadManifests(context.layout, config);
    const k8s::CheckedManifest checked = k8s::CheckManifest(input.name, input.text);
    for (const k8s::Problem& found : checked.problems) {
      const k8s::Problem problem = InLocalMode(found);
      Tell(problem);
      failed = failed || problem.level == k8s::Level::kError;
    }
    for (const auto& [entry, object] : checked.objects) {
      const Json json = Json::From(entry.json);
      if (!CheckRunnable(input.name, entry, json) || ApplyOne(context, before, json) != kOk) {
        failed = true;
        continue;
      }
      ++applied;
    }
    if (checked.objects.empty() && checked.problems.empty()) {
      PrintErr(fmt::format("error: {}: no objects in it", input.name));
      failed = true;
    }
  }
  if (inputs.empty() && !failed) {
    PrintErr("error: no *.yaml, *.yml or *.json there");
    failed = true;
  }
  if (failed)
    PrintErr(fmt::format("meshctl: {} applied; what is named above was refused", applied));
  return failed ? kFailed : kOk;
}

int Delete(const Context& context, const std::vector<std::string>& files, std::string kind_word,
           std::vector<std::string> names) {
  local::Config config;
  if (!context.Load(config)) return kNotRunning;
  if (const size_t slash = kind_word.find('/'); slash != std::string::npos) {
    names.insert(names.begin(), kind_word.substr(slash + 1));
    kind_word.resize(slash);
  }
  std::vector<ObjectKey> keys;
  bool failed = false;
  for (const Input& input : ReadInputs(files, failed)) {
    const auto documents = ParseYaml(input.text);
    if (!documents.ok()) {
      PrintErr(fmt::format("error: {}: {}", input.name, MessageOf(documents.status())));
      failed = true;
      continue;
    }
    for (const Document& document : *documents) {
      for (const Json& object : local::Flatten(document.value)) {
        keys.push_back(local::KeyOf(object, context.ns.empty() ? "default" : context.ns));
      }
    }
  }
  const std::string kind = local::CanonicalKind(kind_word);
  for (const std::string& name : names) {
    keys.push_back({kind,
                    local::IsClusterScoped(kind) ? ""
                    : context.ns.empty()         ? "default"
                                                 : context.ns,
                    name});
  }
  if (keys.empty()) {
    if (!failed) PrintErr("meshctl: delete -f FILE or delete KIND NAME");
    return failed ? kFailed : kUsage;
  }
  int code = failed ? kFailed : kOk;
  std::set<std::string> gone;  // namespaces that went with all that was in them
  for (const ObjectKey& key : keys) {
    if (gone.contains(key.ns)) continue;
    const ObjectStore user = LoadManifests(context.layout, config),
                      all = LoadObjects(context.layout, config);
    int one = kOk;
    if (!DeleteOne(context, user, all, key, one)) {
      PrintErr(fmt::format("error: {}: not found{}", key.ToString(), Elsewhere(all, key)));
      one = kFailed;
    } else if (key.kind == "Namespace") {
      gone.insert(key.name);
    }
    code = std::max(code, one);
  }
  return code;
}

int Get(const Context& context, std::string kind_word, std::string name) {
  local::Config config;
  if (!context.Load(config)) return kNotRunning;
  const ObjectStore store = LoadObjects(context.layout, config);
  if (const size_t slash = kind_word.find('/'); slash != std::string::npos) {
    name = kind_word.substr(slash + 1);
    kind_word.resize(slash);
  }
  const std::string kind = local::CanonicalKind(kind_word);
  const auto known = local::KnownKinds();
  if (std::find(known.begin(), known.end(), kind) == known.end() && store.OfKind(kind).empty()) {
    PrintErr(fmt::format("meshctl: no kind \"{}\"; kinds: {}", kind, fmt::join(known, " ")));
    return kFailed;
  }
  std::vector<const Json*> found;
  for (const Json* object : store.OfKind(kind)) {
    const Json& meta = object->At("metadata");
    if (!context.ns.empty() && !local::IsClusterScoped(kind) &&
        meta.At("namespace").Str() != context.ns)
      continue;
    if (!name.empty() && meta.At("name").Str() != name) continue;
    found.push_back(object);
  }
  if (found.empty() && !name.empty()) {
    PrintErr(fmt::format("meshctl: no {} \"{}\"{}", kind, name,
                         context.ns.empty() ? "" : " in namespace " + context.ns));
    return kFailed;
  }
  if (context.structured()) {
    std::vector<Json> objects;
    for (const Json* object : found) objects.push_back(*object);
    if (config.mesh) AddConditions(context, objects);
    if (!name.empty() && objects.size() == 1) {
      PrintValue(context, objects[0]);
      return kOk;
    }
    Json list = Json::Obj({{"apiVersion", "v1"}, {"kind", "List"}, {"items", Json::Array{}}});
    for (Json& object : objects) list["items"].Push(std::move(object));
    PrintValue(context, list);
    return kOk;
  }
  if (context.output == Output::kShort) {
    for (const Json* object : found) Print(local::KeyOf(*object).ToString() + "\n");
  } else if (found.empty()) {
    Print(fmt::format("no {} objects\n", kind));
  } else {
    PrintTable(context, kind, found, store);
  }
  return kOk;
}

}  // namespace mesh::meshctl
