#include "agent/k8s/object.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <array>

#include "agent/k8s/validate.h"

namespace mesh::k8s {
namespace {

struct KindInfo {
  std::string_view name;
  std::string_view group;
  std::string_view versions;
  bool namespaced;
};

constexpr std::array kKinds = {
#define MESH_KIND_INFO(name, group, versions, namespaced) \
  KindInfo{#name, group, versions, namespaced},
    MESH_KINDS(MESH_KIND_INFO)
#undef MESH_KIND_INFO
};

const KindInfo& InfoOf(Kind kind) { return kKinds[static_cast<size_t>(kind)]; }

std::shared_ptr<google::protobuf::Message> NewMessage(Kind kind) {
  switch (kind) {
#define MESH_KIND_NEW(name, group, versions, namespaced) \
  case Kind::k##name:                                    \
    return std::make_shared<api::name>();
    MESH_KINDS(MESH_KIND_NEW)
#undef MESH_KIND_NEW
  }
  return nullptr;
}

void SetNamespace(Kind kind, google::protobuf::Message& message, const std::string& ns) {
  switch (kind) {
#define MESH_KIND_SET(name, group, versions, namespaced)                     \
  case Kind::k##name:                                                        \
    static_cast<api::name&>(message).mutable_metadata()->set_namespace_(ns); \
    break;
    MESH_KINDS(MESH_KIND_SET)
#undef MESH_KIND_SET
  }
}

bool ServesVersion(std::string_view versions, std::string_view version) {
  while (!versions.empty()) {
    const size_t cut = versions.find(' ');
    if (versions.substr(0, cut) == version) return true;
    versions = cut == std::string_view::npos ? "" : versions.substr(cut + 1);
  }
  return false;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool IsValidName(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (const char c : name) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!ok) return false;
  }
  return name.front() != '-' && name.front() != '.' && name.back() != '-' && name.back() != '.';
}

// A misspelt `spec` would be an object without any: Istio refuses it too.
void RefuseUnknownTopLevel(std::string_view group, std::vector<Issue>& issues) {
  if (group.find(".istio.io") == std::string_view::npos) return;
  for (Issue& issue : issues) {
    if (issue.reason == kUnknownField && issue.field.find('.') == std::string::npos) {
      issue.level = Level::kError;
    }
  }
}

}  // namespace

std::string_view NameOf(Kind kind) { return InfoOf(kind).name; }
std::string_view GroupOf(Kind kind) { return InfoOf(kind).group; }
bool IsNamespaced(Kind kind) { return InfoOf(kind).namespaced; }

std::string ApiVersionOf(Kind kind) {
  const KindInfo& info = InfoOf(kind);
  const std::string version(info.versions.substr(0, info.versions.find(' ')));
  return info.group.empty() ? version : fmt::format("{}/{}", info.group, version);
}

std::optional<Kind> FindKind(std::string_view api_version, std::string_view kind) {
  const size_t slash = api_version.find('/');
  const auto group = slash == std::string_view::npos ? "" : api_version.substr(0, slash);
  const auto version =
      slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i].name == kind && kKinds[i].group == group &&
        ServesVersion(kKinds[i].versions, version)) {
      return static_cast<Kind>(i);
    }
  }
  return std::nullopt;
}

std::optional<Kind> FindKind(std::string_view word) {
  const std::string wanted = Lower(word);
  for (size_t i = 0; i < kKinds.size(); ++i) {
    const std::string name = Lower(kKinds[i].name);
    const std::string plural = name.back() == 'y'   ? name.substr(0, name.size() - 1) + "ies"
                               : name.back() == 's' ? name + "es"
                                                    : name + "s";
    if (wanted == name || wanted == plural) return static_cast<Kind>(i);
  }
  constexpr std::array<std::pair<std::string_view, Kind>, 16> kShort = {
      {{"ns", Kind::kNamespace},
       {"no", Kind::kNode},
       {"sa", Kind::kServiceAccount},
       {"svc", Kind::kService},
       {"po", Kind::kPod},
       {"cm", Kind::kConfigMap},
       {"deploy", Kind::kDeployment},
       {"pa", Kind::kPeerAuthentication},
       {"ap", Kind::kAuthorizationPolicy},
       {"se", Kind::kServiceEntry},
       {"we", Kind::kWorkloadEntry},
       {"wg", Kind::kWorkloadGroup},
       {"vs", Kind::kVirtualService},
       {"dr", Kind::kDestinationRule},
       {"ra", Kind::kRequestAuthentication},
       {"gtw", Kind::kGateway}}};
  for (const auto& [name, kind] : kShort) {
    if (wanted == name) return kind;
  }
  return std::nullopt;
}

std::string Key::ToString() const {
  return ns.empty() ? fmt::format("{} {}", NameOf(kind), name)
                    : fmt::format("{} {}/{}", NameOf(kind), ns, name);
}

const api::ObjectMeta& Object::metadata() const {
  switch (key_.kind) {
#define MESH_KIND_META(name, group, versions, namespaced) \
  case Kind::k##name:                                     \
    return static_cast<const api::name&>(*message_).metadata();
    MESH_KINDS(MESH_KIND_META)
#undef MESH_KIND_META
  }
  return api::ObjectMeta::default_instance();
}

KeyResult KeyOf(const Json& json) {
  if (json.kind_case() != Json::kStructValue) {
    return {std::nullopt,
            {Level::kError, "", fmt::format("must be an object, not {}", KindOf(json))}};
  }
  const std::string kind_name = StringMember(json, "kind");
  const std::string api_version = StringMember(json, "apiVersion");
  if (kind_name.empty()) return {std::nullopt, {Level::kError, "kind", "missing"}};
  if (api_version.empty()) return {std::nullopt, {Level::kError, "apiVersion", "missing"}};
  const auto kind = FindKind(api_version, kind_name);
  if (!kind) {
    return {std::nullopt,
            {Level::kWarning, "kind",
             fmt::format("{} of {} is not used by the mesh", kind_name, api_version)}};
  }
  Key key{*kind, "", MetadataMember(json, "name")};
  if (!IsValidName(key.name)) {
    return {
        std::nullopt,
        {Level::kError, "metadata.name",
         key.name.empty() ? std::string("missing")
                          : fmt::format("\"{}\" is no name: lower case letters, digits, '-' and "
                                        "'.', at most 253",
                                        key.name)}};
  }
  if (IsNamespaced(*kind)) {
    key.ns = MetadataMember(json, "namespace");
    if (key.ns.empty()) key.ns = "default";
    if (!IsValidName(key.ns) || key.ns.find('.') != std::string::npos) {
      return {std::nullopt,
              {Level::kError, "metadata.namespace",
               fmt::format("\"{}\" is no namespace's name", key.ns)}};
    }
  }
  return {std::move(key), {}};
}

std::optional<Object> DecodeObject(const Json& json, std::vector<Issue>& issues) {
  KeyResult found = KeyOf(json);
  if (!found.key) {
    issues.push_back(std::move(found.issue));
    return std::nullopt;
  }
  auto message = NewMessage(found.key->kind);
  Decode(json, *message, issues);
  SetNamespace(found.key->kind, *message, found.key->ns);
  RefuseUnknownTopLevel(GroupOf(found.key->kind), issues);
  Object object(*std::move(found.key), std::move(message));
  if (!HasError(issues)) Validate(object, issues);  // not on what did not decode
  if (HasError(issues)) return std::nullopt;
  return object;
}

Object MakeObject(Kind kind, std::shared_ptr<const google::protobuf::Message> message) {
  const api::ObjectMeta meta = Object(Key{kind, "", ""}, message).metadata();
  Key key{kind, IsNamespaced(kind) ? meta.namespace_() : "", meta.name()};
  return Object(std::move(key), std::move(message));
}

}  // namespace mesh::k8s
