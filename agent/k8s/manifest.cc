#include "agent/k8s/manifest.h"

#include <fmt/format.h>

#include "ztunnel/base/status.h"
#include "ztunnel/base/yaml.h"

namespace mesh::k8s {
namespace {

int FindLine(const std::unordered_map<std::string, int>& lines, std::string_view field, int line) {
  std::string path(field);
  while (!path.empty()) {
    if (const auto it = lines.find(path); it != lines.end()) return it->second;
    const size_t cut = path.find_last_of(".[");
    if (cut == std::string::npos) break;
    path.resize(cut);
  }
  return line;
}

// Fields of items[3] of a list as fields of the object itself.
std::unordered_map<std::string, int> LinesUnder(const YamlDocument& document,
                                                const std::string& prefix) {
  std::unordered_map<std::string, int> lines;
  for (const auto& [path, line] : document.lines) {
    if (path.size() > prefix.size() + 1 && path.compare(0, prefix.size(), prefix) == 0 &&
        path[prefix.size()] == '.') {
      lines.emplace(path.substr(prefix.size() + 1), line);
    }
  }
  return lines;
}

std::string CutValue(std::string text) {
  constexpr size_t kMax = 80;
  if (text.size() <= kMax) return text;
  size_t end = kMax - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // whole UTF-8
  text.resize(end);
  return text + "...";
}

void AddObject(const std::string& file, Json json, int line,
               std::unordered_map<std::string, int> lines, Manifest& manifest) {
  KeyResult found = KeyOf(json);
  if (found.key) {
    manifest.entries.push_back({*std::move(found.key), std::move(json), line, std::move(lines)});
    return;
  }
  const Issue& issue = found.issue;
  const std::string name = MetadataMember(json, "name");
  const std::string kind = StringMember(json, "kind");
  manifest.problems.push_back({file, FindLine(lines, issue.field, line),
                               kind.empty() ? "" : fmt::format("{} {}", kind, name), issue.field,
                               issue.reason, issue.level});
  if (issue.level == Level::kError) manifest.unreadable = true;
}

}  // namespace

int ManifestEntry::LineOf(std::string_view field) const { return FindLine(lines, field, line); }

Problem MakeProblem(const std::string& file, const ManifestEntry& entry, const Issue& issue) {
  Problem problem{file,
                  entry.LineOf(issue.field),
                  entry.key.ToString(),
                  issue.field,
                  issue.reason,
                  issue.level,
                  entry.key};
  const Json* value = issue.field.empty() ? nullptr : AtPath(entry.json, issue.field);
  if (value != nullptr) problem.value = CutValue(ToText(*value));
  return problem;
}

Manifest ReadManifest(const std::string& file, std::string_view text) {
  Manifest manifest;
  for (YamlDocument& document : ReadYaml(text)) {
    if (!document.status.ok()) {
      manifest.problems.push_back(
          {file, document.line, "", "", std::string(MessageOf(document.status)), Level::kError});
      manifest.unreadable = true;
      continue;
    }
    const Json* items = &document.value;
    std::string prefix;
    const std::string kind = StringMember(document.value, "kind");
    if (kind.size() >= 4 && kind.compare(kind.size() - 4, 4, "List") == 0) {
      if (const Json* listed = Member(document.value, "items")) {
        items = listed;
        prefix = "items";
      }
    }
    if (items->kind_case() != Json::kListValue) {
      AddObject(file, std::move(document.value), document.line, std::move(document.lines),
                manifest);
      continue;
    }
    int index = 0;
    for (const Json& item : items->list_value().values()) {
      const std::string path = fmt::format("{}[{}]", prefix, index++);
      const auto at = document.lines.find(path);
      AddObject(file, item, at == document.lines.end() ? document.line : at->second,
                LinesUnder(document, path), manifest);
    }
  }
  return manifest;
}

CheckedManifest CheckManifest(const std::string& file, std::string_view text) {
  Manifest manifest = ReadManifest(file, text);
  CheckedManifest checked;
  checked.problems = std::move(manifest.problems);
  for (ManifestEntry& entry : manifest.entries) {
    std::vector<Issue> issues;
    std::optional<Object> object = DecodeObject(entry.json, issues);
    for (const Issue& issue : issues) checked.problems.push_back(MakeProblem(file, entry, issue));
    if (object) checked.objects.emplace_back(std::move(entry), *std::move(object));
  }
  return checked;
}

}  // namespace mesh::k8s
