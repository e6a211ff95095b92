// One pod from its first address to its last process.
//
// Order: network namespace and address, Pod object (Pending), enrolment by the node's agent (waited
// for, tried again until it says yes), then the processes, then Running and Ready; at the end
// SIGTERM, the grace period, the object is removed, then group and namespace. Owner: Pods. Thread:
// the runtime's.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/meshctl/local/cgroup.h"
#include "tools/meshctl/local/container.h"
#include "tools/meshctl/local/images.h"
#include "tools/meshctl/local/network.h"
#include "tools/meshctl/local/tokens.h"
#include "tools/meshctl/local/workloads.h"

namespace mesh::local {

// What all pods share; outlives them.
struct PodHost {
  Layout layout;
  Config config;
  MeshCgroup cgroup;
  Network network;
  ImageTable images;
  Children children;
  const ObjectStore& objects;                        // the user's
  std::optional<TokenSigner> signer = std::nullopt;  // none: pods get no tokens
};

class Pod {
 public:
  // `node` may be null with a `problem` that says why there is none: the pod then stays Pending.
  Pod(PodHost& host, const PodSet& set, std::string name, const NodeConfig* node, int index,
      std::string problem);
  ~Pod();
  Pod(const Pod&) = delete;
  Pod& operator=(const Pod&) = delete;

  void Tick(absl::Time now);
  void Terminate(absl::Time now);
  bool gone() const { return state_ == State::kGone; }
  bool terminating() const { return state_ == State::kTerminating; }
  bool ready() const;
  bool busy() const {
    return state_ == State::kEnrolling || state_ == State::kNew || terminating();
  }
  // Labels and annotations of a bare Pod changed.
  void UpdateMetadata(const Json& pod);

  const ObjectKey& owner() const { return owner_; }
  const std::string& revision() const { return revision_; }
  const std::string& ns() const { return ns_; }
  const std::string& name() const { return name_; }
  const NodeConfig* node() const { return node_; }
  int index() const { return index_; }
  bool has_problem() const { return !problem_.empty(); }

 private:
  enum class State { kNew, kEnrolling, kRunning, kTerminating, kGone };

  absl::Status MakeNetwork();
  void StartEnrolment();
  absl::Status MakeContainers();
  absl::StatusOr<std::unique_ptr<Container>> MakeContainer(const Json& spec,
                                                           RestartPolicy policy) const;
  absl::StatusOr<LaunchSpec> BaseLaunch(const Json& container) const;
  ProbePlace Place() const;
  bool host_network() const { return object_.Get({"spec", "hostNetwork"}).Bool(); }
  std::string netns_path() const { return Layout::netns_path(netns_); }
  void TickContainers(absl::Time now);
  // Of a waypoint: the token by which it proves itself to the controller.
  absl::Status WriteToken(absl::Time now);
  std::string dir() const { return host_.layout.node_dir(node_->name) + "/pods/" + uid_; }
  void Retry(absl::Time now, std::string problem);
  void WriteObject();
  Json StatusObject() const;
  std::string Phase() const;

  PodHost& host_;
  ObjectKey owner_;
  std::string revision_, ns_, name_, uid_, netns_, problem_;
  const NodeConfig* node_;
  int index_;
  Json object_;  // metadata and spec
  State state_ = State::kNew;
  bool network_made_ = false, written_once_ = false;
  std::future<absl::Status> enrolment_;
  std::vector<std::unique_ptr<Container>> init_, containers_;
  absl::Time token_renewal_ = absl::InfiniteFuture();
  absl::Time created_, retry_at_ = absl::InfinitePast(), kill_at_ = absl::InfiniteFuture();
  absl::Duration backoff_ = absl::Milliseconds(250);
  std::string written_;
};

}  // namespace mesh::local
