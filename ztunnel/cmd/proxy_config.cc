#include "ztunnel/cmd/proxy_config.h"

#include <cmath>

#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/yaml.h"

namespace mesh::cmd {
namespace {

using google::protobuf::Value;

constexpr size_t kMaxFileBytes = 4 << 20;

const Value* Field(const Value& object, const std::string& name) {
  if (object.kind_case() != Value::kStructValue) return nullptr;
  const auto& fields = object.struct_value().fields();
  const auto it = fields.find(name);
  if (it == fields.end() || it->second.kind_case() == Value::kNullValue) return nullptr;
  return &it->second;
}

// The first document of `text`; an empty object when there is none.
absl::StatusOr<Value> ParseObject(std::string_view text) {
  Value empty;
  empty.mutable_struct_value();
  std::vector<YamlDocument> documents = ReadYaml(text);
  if (documents.empty()) return empty;
  RETURN_IF_ERROR(documents.front().status);
  if (documents.front().value.kind_case() != Value::kStructValue) return Invalid("is no object");
  return std::move(documents.front().value);
}

absl::StatusOr<std::string> WholeNumber(const Value& value, const std::string& name, int min) {
  const double number = value.number_value();
  if (value.kind_case() != Value::kNumberValue || number != std::floor(number) || number < min ||
      number > 65'535) {
    return Invalid("{} is no number from {} to 65535", name, min);
  }
  return std::to_string(static_cast<int>(number));
}

// Proxy metadata is text; numbers and booleans are written as they stand in most files.
absl::StatusOr<std::string> Text(const Value& value, const std::string& name) {
  switch (value.kind_case()) {
    case Value::kStringValue:
      return value.string_value();
    case Value::kBoolValue:
      return std::string(value.bool_value() ? "true" : "false");
    case Value::kNumberValue:
      return fmt::format("{}", value.number_value());
    default:
      return Invalid("{} is no text", name);
  }
}

absl::Status ReadMetadata(const Value& config, Environment& out) {
  const Value* metadata = Field(config, "proxyMetadata");
  if (metadata == nullptr) return absl::OkStatus();
  if (metadata->kind_case() != Value::kStructValue) return Invalid("proxyMetadata is no object");
  for (const auto& [name, value] : metadata->struct_value().fields()) {
    if (name.empty()) continue;
    ASSIGN_OR_RETURN(std::string text, Text(value, "proxyMetadata." + name));
    const bool variable = name.starts_with("ISTIO_META_") || name.starts_with("ISTIO_METAJSON_");
    out[variable ? name : "ISTIO_META_" + name] = std::move(text);
  }
  return absl::OkStatus();
}

absl::Status ReadConfig(const Value& config, Environment& out) {
  if (const Value* address = Field(config, "discoveryAddress")) {
    ASSIGN_OR_RETURN(out["XDS_ADDRESS"], Text(*address, "discoveryAddress"));
  }
  for (const auto& [field, variable] :
       {std::pair("proxyAdminPort", "MESH_ADMIN_PORT"), std::pair("statsPort", "MESH_STATS_PORT"),
        std::pair("statusPort", "MESH_STATS_PORT")}) {
    if (const Value* port = Field(config, field)) {
      ASSIGN_OR_RETURN(out[variable], WholeNumber(*port, field, 1));
    }
  }
  if (const Value* threads = Field(config, "concurrency")) {
    ASSIGN_OR_RETURN(const std::string number, WholeNumber(*threads, "concurrency", 0));
    out["ZTUNNEL_WORKER_THREADS"] = number == "0" ? "100%" : number;
  }
  return ReadMetadata(config, out);
}

absl::Status ReadMeshFile(const std::string& text, Environment& out) {
  ASSIGN_OR_RETURN(const Value mesh, ParseObject(text));
  const Value* config = Field(mesh, "defaultConfig");
  if (config == nullptr) return absl::OkStatus();
  if (config->kind_case() != Value::kStructValue) return Invalid("defaultConfig is no object");
  return ReadConfig(*config, out);
}

absl::Status ReadVariable(const std::string& text, Environment& out) {
  ASSIGN_OR_RETURN(const Value config, ParseObject(text));
  return ReadConfig(config, out);
}

}  // namespace

absl::StatusOr<Environment> WithProxyConfig(Environment environment,
                                            const std::optional<std::string>& mesh_config) {
  Environment defaults;
  if (mesh_config) {
    RETURN_IF_ERROR(WithContext(ReadMeshFile(*mesh_config, defaults), kMeshConfigFile));
  }
  if (const auto it = environment.find("PROXY_CONFIG"); it != environment.end()) {
    RETURN_IF_ERROR(WithContext(ReadVariable(it->second, defaults), "PROXY_CONFIG"));
  }
  environment.merge(defaults);
  return environment;
}

absl::StatusOr<std::optional<std::string>> ReadMeshConfig(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (text.ok()) return std::optional(*std::move(text));
  if (text.status().code() == absl::StatusCode::kNotFound) return std::optional<std::string>();
  return text.status();
}

}  // namespace mesh::cmd
