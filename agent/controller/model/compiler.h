// Objects in, compiled resources out, incrementally: a change recompiles what depends on it (a pod:
// that pod; a service: itself, the pods it selects or selected, its endpoint slices; a policy with
// a selector: itself and the pods of its namespace) and tells only what came out different.
//
// Owner: the controller. Thread: one.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/model/resource.h"
#include "agent/controller/model/settings.h"
#include "agent/k8s/peer_authentication.h"
#include "agent/k8s/source.h"

namespace mesh::controller {

class Compiler {
 public:
  explicit Compiler(Settings flags);

  // Applies one batch; the answer is in no particular order and free of repetitions.
  std::vector<ResourceChange> Apply(const std::vector<k8s::Event>& events);

  using Resources = std::map<std::string, ResourceRef, std::less<>>;
  const Resources& resources(ResourceType type) const;
  const Settings& settings() const { return settings_; }
  // Of the mesh configuration; empty when there is none.
  const std::string& settings_problem() const { return settings_problem_; }
  size_t object_count() const;

  // Whether a pod of this identity runs on the node, for the certificate authority; if not, why.
  absl::Status CheckRunsOn(const std::string& node, const std::string& ns,
                           const std::string& service_account) const;

  // Conditions that the latest Apply() changed, by policy; empty type: the policy is gone.
  std::map<k8s::Key, std::optional<api::Condition>> TakeConditions();

 private:
  template <typename T>
  using Named = std::map<std::string, std::shared_ptr<const T>>;  // by name
  template <typename T>
  using ByNamespace = std::map<std::string, Named<T>>;

  struct Dirty {
    std::set<k8s::Key> keys;  // pods, services, slices, policies, peer authentications
    bool everything = false;
    bool static_strict = false;
  };

  void Note(const k8s::Event& event, Dirty& dirty);
  void Store(const k8s::Event& event);
  void MarkPods(const std::string& ns, Dirty& dirty) const;  // of one namespace; of all when root
  void MarkSelected(const api::Service& service, Dirty& dirty) const;
  void MarkEverything(Dirty& dirty) const;

  void CompilePod(const k8s::Key& key);
  void CompileService(const k8s::Key& key);
  void CompileSlice(const k8s::Key& key);
  void CompileAuthorization(const k8s::Key& key);
  void CompilePeerAuthentication(const k8s::Key& key);
  void CompileStaticStrict();

  std::vector<std::string> PolicyKeysFor(const api::Pod& pod) const;
  void Put(ResourceType type, Resource resource);
  // Takes back what `key` produced and `keep` does not name.
  void Retire(ResourceType type, const k8s::Key& key, const std::set<std::string>& keep);

  template <typename T>
  std::shared_ptr<const T> Find(const ByNamespace<T>& all, const std::string& ns,
                                const std::string& name) const;

  const Settings flags_;
  Settings settings_;
  std::string settings_problem_;

  Named<api::Namespace> namespaces_;
  Named<api::Node> nodes_;
  ByNamespace<api::Pod> pods_;
  ByNamespace<api::Service> services_;
  ByNamespace<api::EndpointSlice> slices_;
  ByNamespace<api::AuthorizationPolicy> policies_;
  std::vector<k8s::PeerAuthenticationRef> peer_authentications_;
  std::shared_ptr<const api::ConfigMap> mesh_config_;
  std::map<std::string, std::set<k8s::Key>> pods_on_;  // by node

  Resources addresses_;
  Resources authorizations_;
  std::map<k8s::Key, std::set<std::string>> produced_;  // what each object became
  std::map<std::pair<ResourceType, std::string>, ResourceRef> changes_;
  std::map<k8s::Key, std::optional<api::Condition>> conditions_;
};

}  // namespace mesh::controller
