// YAML (and so JSON) text as JSON values that remember the line of every field.
//
// Bounded against hostile input: text of at most 4 MiB, 200,000 nodes after aliases are expanded,
// 64 levels. Scalars resolve as Kubernetes resolves them: plain true/false/yes/no... are booleans,
// plain numbers are numbers, quoted scalars are strings.
#pragma once

#include <absl/status/status.h>
#include <google/protobuf/struct.pb.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mesh {

struct YamlDocument {
  google::protobuf::Value value;
  int line = 1;                                // of the document in its file, from 1
  std::unordered_map<std::string, int> lines;  // "spec.rules[0].to" -> line in the file
  absl::Status status;  // not OK: no value; the message says where in the line

  // The line of the field, or of the nearest parent that stands in the document.
  int LineOf(std::string_view field) const;
};

// Each document on its own, so that one that does not parse leaves its neighbours alone. Empty
// documents are left out.
std::vector<YamlDocument> ReadYaml(std::string_view text);

}  // namespace mesh
