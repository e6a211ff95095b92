// The documents of one manifest file, with keys and lines, not yet decoded: they may be a part that
// is merged over another file's.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/k8s/object.h"
#include "agent/k8s/source.h"

namespace mesh::k8s {

struct ManifestEntry {
  Key key;
  Json json;
  int line = 1;
  std::unordered_map<std::string, int> lines;  // "spec.ports[0]" -> line

  int LineOf(std::string_view field) const;
};

struct Manifest {
  std::vector<ManifestEntry> entries;
  std::vector<Problem> problems;
  // A document with an error: what it was meant to be is unknown when it does not even parse.
  bool unreadable = false;
};

// Reads all documents; lists (kind: List, or a JSON array) are taken apart. `file` is for problems.
Manifest ReadManifest(const std::string& file, std::string_view text);

// For validation in one step (meshctl apply): decoded objects and every problem of the file.
struct CheckedManifest {
  std::vector<std::pair<ManifestEntry, Object>> objects;
  std::vector<Problem> problems;
};
CheckedManifest CheckManifest(const std::string& file, std::string_view text);

Problem MakeProblem(const std::string& file, const ManifestEntry& entry, const Issue& issue);

}  // namespace mesh::k8s
