#include "agent/k8s/json.h"

#include <google/protobuf/util/json_util.h>

#include <charconv>

#include "ztunnel/base/status.h"

namespace mesh::k8s {
namespace {

// The member whose name the path begins with; the longest one, for labels have dots.
const Json* LongestMember(const Json& json, std::string_view path, size_t& length) {
  for (length = path.size(); length > 0; --length) {
    if (length < path.size() && path[length] != '.' && path[length] != '[') continue;
    if (const Json* found = Member(json, path.substr(0, length))) return found;
  }
  return nullptr;
}

}  // namespace

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

const Json* AtPath(const Json& json, std::string_view path) {
  const Json* at = &json;
  while (!path.empty()) {
    if (path.front() == '[') {
      size_t index = 0;
      const size_t close = path.find(']');
      if (close == std::string_view::npos || at->kind_case() != Json::kListValue) return nullptr;
      const auto [end, error] = std::from_chars(path.data() + 1, path.data() + close, index);
      if (error != std::errc() || end != path.data() + close ||
          index >= static_cast<size_t>(at->list_value().values_size())) {
        return nullptr;
      }
      at = &at->list_value().values(static_cast<int>(index));
      path.remove_prefix(close + 1);
    } else {
      size_t length = 0;
      at = LongestMember(*at, path, length);
      if (at == nullptr) return nullptr;
      path.remove_prefix(length);
    }
    if (!path.empty() && path.front() == '.') path.remove_prefix(1);
  }
  return at;
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
