// Manifests as text: YAML (and so JSON) to documents that remember where they stood, and back.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "tools/meshctl/json.h"

namespace mesh::meshctl {

struct Document {
  Json value;
  int line = 1;  // where it begins in its text, from 1
};

// The documents of a text in order, empty ones left out. A text with a syntax error has none: the
// error says the line. Bounds are those of ztunnel/base/yaml.h.
absl::StatusOr<std::vector<Document>> ParseYaml(std::string_view text);

// Block style, keys sorted.
std::string ToYaml(const Json& value);

}  // namespace mesh::meshctl
