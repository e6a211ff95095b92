// Typed objects: what a Source emits, whoever serves them. Served versions of a kind are one kind.
#pragma once

#include <google/protobuf/message.h>

#include <compare>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/k8s/decode.h"
#include "agent/k8s/json.h"
#include "proto/api/gateway.pb.h"
#include "proto/api/istio_networking.pb.h"
#include "proto/api/istio_security.pb.h"
#include "proto/api/istio_telemetry.pb.h"
#include "proto/api/istio_traffic.pb.h"
#include "proto/api/kube_apps.pb.h"
#include "proto/api/kube_core.pb.h"

namespace mesh::k8s {

// X(kind, group, versions, namespaced)
#define MESH_KINDS(X)                                                    \
  X(Namespace, "", "v1", false)                                          \
  X(Node, "", "v1", false)                                               \
  X(ServiceAccount, "", "v1", true)                                      \
  X(Service, "", "v1", true)                                             \
  X(Pod, "", "v1", true)                                                 \
  X(ConfigMap, "", "v1", true)                                           \
  X(Deployment, "apps", "v1", true)                                      \
  X(StatefulSet, "apps", "v1", true)                                     \
  X(ReplicaSet, "apps", "v1", true)                                      \
  X(EndpointSlice, "discovery.k8s.io", "v1", true)                       \
  X(PeerAuthentication, "security.istio.io", "v1 v1beta1", true)         \
  X(AuthorizationPolicy, "security.istio.io", "v1 v1beta1", true)        \
  X(ServiceEntry, "networking.istio.io", "v1 v1beta1 v1alpha3", true)    \
  X(WorkloadEntry, "networking.istio.io", "v1 v1beta1 v1alpha3", true)   \
  X(WorkloadGroup, "networking.istio.io", "v1 v1beta1 v1alpha3", true)   \
  X(VirtualService, "networking.istio.io", "v1 v1beta1 v1alpha3", true)  \
  X(DestinationRule, "networking.istio.io", "v1 v1beta1 v1alpha3", true) \
  X(RequestAuthentication, "security.istio.io", "v1 v1beta1", true)      \
  X(Telemetry, "telemetry.istio.io", "v1 v1alpha1", true)                \
  X(Gateway, "gateway.networking.k8s.io", "v1 v1beta1", true)            \
  X(GatewayClass, "gateway.networking.k8s.io", "v1 v1beta1", false)

enum class Kind {
#define MESH_KIND_ENUM(name, group, versions, namespaced) k##name,
  MESH_KINDS(MESH_KIND_ENUM)
#undef MESH_KIND_ENUM
};

template <typename T>
inline constexpr bool kIsKind = false;
template <typename T>
struct KindTrait;
#define MESH_KIND_TRAIT(name, group, versions, namespaced) \
  template <>                                              \
  struct KindTrait<api::name> {                            \
    static constexpr Kind kKind = Kind::k##name;           \
  };
MESH_KINDS(MESH_KIND_TRAIT)
#undef MESH_KIND_TRAIT

std::string_view NameOf(Kind kind);   // "AuthorizationPolicy"
std::string_view GroupOf(Kind kind);  // "security.istio.io"; empty: core
std::string ApiVersionOf(Kind kind);  // "security.istio.io/v1": the first served
bool IsNamespaced(Kind kind);
std::optional<Kind> FindKind(std::string_view api_version, std::string_view kind);
// By name alone, in any case, singular or plural ("pod", "Pods"); for people at a shell.
std::optional<Kind> FindKind(std::string_view word);

struct Key {
  Kind kind = Kind::kNamespace;
  std::string ns;  // empty for cluster-scoped kinds
  std::string name;

  std::string ToString() const;  // "Pod shop/client", "Node node-1"
  auto operator<=>(const Key&) const = default;
};

// Immutable; copies share the message.
class Object {
 public:
  Object() = default;
  Object(Key key, std::shared_ptr<const google::protobuf::Message> message)
      : key_(std::move(key)), message_(std::move(message)) {}

  const Key& key() const { return key_; }
  Kind kind() const { return key_.kind; }
  const std::string& ns() const { return key_.ns; }
  const std::string& name() const { return key_.name; }
  const api::ObjectMeta& metadata() const;
  const google::protobuf::Message& message() const { return *message_; }

  // Null when the object is of another kind (or empty).
  template <typename T>
  const T* As() const {
    if (message_ == nullptr || key_.kind != KindTrait<T>::kKind) return nullptr;
    return static_cast<const T*>(message_.get());
  }
  template <typename T>
  std::shared_ptr<const T> Share() const {
    return As<T>() != nullptr ? std::static_pointer_cast<const T>(message_) : nullptr;
  }

 private:
  Key key_;
  std::shared_ptr<const google::protobuf::Message> message_;
};

// The key of a JSON object: its kind must be known and it must have a name. A namespaced object
// without a namespace is in `default`.
struct KeyResult {
  std::optional<Key> key;
  Issue issue;  // when there is none
};
KeyResult KeyOf(const Json& json);

// Decodes and validates. Errors among the issues: no object.
std::optional<Object> DecodeObject(const Json& json, std::vector<Issue>& issues);
// One object made in code; for tests and for objects that are written out.
Object MakeObject(Kind kind, std::shared_ptr<const google::protobuf::Message> message);

}  // namespace mesh::k8s
