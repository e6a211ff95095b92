// A JSON document as a value: protobuf's Value, which the rest of the program knows anyway.
#pragma once

#include <absl/status/statusor.h>
#include <google/protobuf/struct.pb.h>

#include <string>
#include <string_view>

namespace mesh::k8s {

using Json = google::protobuf::Value;

// RFC 7396: objects merge by key, null removes, everything else replaces.
void MergePatch(Json& target, const Json& patch);

// The member of an object, or null when there is none or `json` is no object.
const Json* Member(const Json& json, std::string_view name);
// The text of a string member; empty when absent or something else.
std::string StringMember(const Json& json, std::string_view name);
// metadata.NAME.
std::string MetadataMember(const Json& json, std::string_view name);

// The value at a path as problems name it ("spec.rules[0].to"; a name may itself hold dots); null
// when there is none.
const Json* AtPath(const Json& json, std::string_view path);

// For building: the member, made when absent (and `json` made an object).
Json& Child(Json& json, std::string_view name);
void Set(Json& json, std::string_view name, std::string_view value);
void SetNumber(Json& json, std::string_view name, double value);
void SetBool(Json& json, std::string_view name, bool value);
Json& Append(Json& list);  // a new last element of `list`
Json EmptyList();

// "a string", "a number", for messages.
std::string_view KindOf(const Json& json);

std::string ToText(const Json& json, bool pretty = false);
absl::StatusOr<Json> FromText(std::string_view text);

}  // namespace mesh::k8s
