// JSON to the API's messages (proto/api), by reflection: strict about types, exact about where.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "agent/k8s/json.h"

namespace mesh::k8s {

enum class Level { kWarning, kError };

// What is wrong with one field of one object.
struct Issue {
  Level level = Level::kError;
  std::string field;  // "spec.rules[0].to[0].operation.ports[1]"
  std::string reason;
};

inline constexpr char kUnknownField[] = "unknown field";

// Fields that do not decode are errors and stay unset; unknown fields are warnings. null is
// absence, except as an element of a list of objects, where it is an object without fields. 64-bit
// numbers may be strings, as protobuf writes them.
void Decode(const Json& json, google::protobuf::Message& out, std::vector<Issue>& issues);

bool HasError(const std::vector<Issue>& issues);

}  // namespace mesh::k8s
