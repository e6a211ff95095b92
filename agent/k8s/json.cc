#include "agent/k8s/json.h"

#include <google/protobuf/util/json_util.h>

#include "ztunnel/base/status.h"

namespace mesh::k8s {

void MergePatch(Json& target, const Json& patch) {
  if (patch.kind_case() != Json::kStructValue) {
    target = patch;
    return;
  }
  auto& fields = *target.mutable_struct_value()->mutable_fields();  // clears what was no object
  for (const auto& [name, value] : patch.struct_value().fields()) {
    if (value.kind_case() == Json::kNullValue) {
      fields.erase(name);
    } else {
      MergePatch(fields[name], value);
    }
  }
}

const Json* Member(const Json& json, std::string_view name) {
  if (json.kind_case() != Json::kStructValue) return nullptr;
  const auto& fields = json.struct_value().fields();
  const auto it = fields.find(std::string(name));
  return it == fields.end() ? nullptr : &it->second;
}

std::string StringMember(const Json& json, std::string_view name) {
  const Json* member = Member(json, name);
  return member != nullptr ? member->string_value() : "";
}

std::string MetadataMember(const Json& json, std::string_view name) {
  const Json* metadata = Member(json, "metadata");
  return metadata != nullptr ? StringMember(*metadata, name) : "";
}

Json& Child(Json& json, std::string_view name) {
  return (*json.mutable_struct_value()->mutable_fields())[std::string(name)];
}

void Set(Json& json, std::string_view name, std::string_view value) {
  Child(json, name).set_string_value(std::string(value));
}

void SetNumber(Json& json, std::string_view name, double value) {
  Child(json, name).set_number_value(value);
}

void SetBool(Json& json, std::string_view name, bool value) {
  Child(json, name).set_bool_value(value);
}

Json& Append(Json& list) { return *list.mutable_list_value()->add_values(); }

Json EmptyList() {
  Json list;
  list.mutable_list_value();
  return list;
}

std::string_view KindOf(const Json& json) {
  switch (json.kind_case()) {
    case Json::kNumberValue:
      return "a number";
    case Json::kStringValue:
      return "a string";
    case Json::kBoolValue:
      return "true or false";
    case Json::kStructValue:
      return "an object";
    case Json::kListValue:
      return "a list";
    default:
      return "null";
  }
}

std::string ToText(const Json& json, bool pretty) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(json, &text, options).ok()) return "null";
  return text;
}

absl::StatusOr<Json> FromText(std::string_view text) {
  Json json;
  const auto status = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(text.data(), text.size()), &json);
  if (!status.ok()) return Invalid("not JSON: {}", std::string(status.message()));
  return json;
}

}  // namespace mesh::k8s
