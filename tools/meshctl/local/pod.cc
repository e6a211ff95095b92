#include "tools/meshctl/local/pod.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "tools/meshctl/http.h"
#include "tools/meshctl/local/addresses.h"
#include "tools/meshctl/local/files.h"
#include "tools/meshctl/local/pod_env.h"
#include "tools/meshctl/local/tokens.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

std::string Timestamp(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

RestartPolicy PolicyOf(const Json& spec) {
  const std::string policy = spec.At("restartPolicy").Str("Always");
  return policy == "Never"       ? RestartPolicy::kNever
         : policy == "OnFailure" ? RestartPolicy::kOnFailure
                                 : RestartPolicy::kAlways;
}

// What a CNI plugin tells the agent: addresses with their masks as the Go types are written.
std::string CniBody(const std::string& netns, const std::string& name, const std::string& ns,
                    const NodeConfig& node, int index, bool ipv6) {
  Json body = Json::Obj({{"Netns", netns}, {"PodName", name}, {"PodNamespace", ns}});
  const auto add = [&](int family, const char* mask) {
    Json ip = Json::Obj({{"Interface", 0}, {"Gateway", PodIp(node.index, 1, family)}});
    ip["Address"] = Json::Obj({{"IP", PodIp(node.index, index, family)}, {"Mask", mask}});
    body["IPs"].Push(std::move(ip));
  };
  add(4, "////AA==");
  if (ipv6) add(6, "//////////8AAAAAAAAAAA==");
  return body.Dump();
}

absl::Status Enrol(const std::string& socket, const std::string& body) {
  const auto answer = meshctl::Http({.method = "POST",
                                     .url = "http://localhost/cmdadd",
                                     .unix_socket = socket,
                                     .body = body,
                                     .timeout = absl::Seconds(6)});
  if (!answer.ok())
    return Unavailable("the node's agent does not answer ({})", MessageOf(answer.status()));
  if (answer->code == 200) return absl::OkStatus();
  const std::string_view reason = std::string_view(answer->body).substr(0, answer->body.find('\n'));
  return Unavailable("the node's agent refused (HTTP {}): {}", answer->code, reason);
}

}  // namespace

Pod::Pod(PodHost& host, const PodSet& set, std::string name, const NodeConfig* node, int index,
         std::string problem)
    : host_(host),
      owner_(set.owner),
      revision_(set.revision),
      ns_(set.owner.ns),
      name_(std::move(name)),
      uid_(NewUid()),
      problem_(std::move(problem)),
      node_(node),
      index_(index),
      object_(set.pod),
      created_(absl::Now()) {
  Json& meta = object_["metadata"];
  meta["name"] = name_;
  meta["uid"] = uid_;
  meta["creationTimestamp"] = Timestamp(created_);
  Json& spec = object_["spec"];
  if (!spec.Has("serviceAccountName")) {
    spec["serviceAccountName"] =
        spec.Has("serviceAccount") ? spec.At("serviceAccount") : Json("default");
  }
  if (set.owner.kind == "StatefulSet") {
    meta["labels"]["statefulset.kubernetes.io/pod-name"] = name_;
    meta["labels"]["apps.kubernetes.io/pod-index"] = name_.substr(name_.rfind('-') + 1);
    spec["hostname"] = name_;
  }
  if (node_) {
    spec["nodeName"] = node_->name;
    netns_ = host_network() ? host_.layout.netns_name(node_->name)
                            : host_.layout.pod_netns(node_->name, ns_, name_);
    meta["annotations"]["local.mesh/netns"] = netns_path();
  }
  WriteObject();
}

Pod::~Pod() = default;

void Pod::Retry(absl::Time now, std::string problem) {
  if (problem != problem_)
    Logger("pods")->warn("pod waits pod={}/{} reason={}", ns_, name_, Quoted(problem));
  problem_ = std::move(problem);
  retry_at_ = now + backoff_;
  backoff_ = std::min(backoff_ * 2, absl::Seconds(5));
  state_ = State::kNew;
  WriteObject();
}

absl::Status Pod::MakeNetwork() {
  if (network_made_) return absl::OkStatus();
  RETURN_IF_ERROR(MakeDirs(host_.cgroup.pod(node_->name, uid_)));
  if (!host_network()) RETURN_IF_ERROR(host_.network.AddPod(*node_, netns_, index_));
  network_made_ = true;
  WriteObject();  // with its addresses, before the agent is asked about it
  return absl::OkStatus();
}

void Pod::StartEnrolment() {
  state_ = State::kEnrolling;
  if (!host_.config.mesh || host_network()) {
    std::promise<absl::Status> done;
    done.set_value(absl::OkStatus());
    enrolment_ = done.get_future();
    return;
  }
  enrolment_ =
      std::async(std::launch::async, Enrol, host_.layout.node_dir(node_->name) + "/cni.sock",
                 CniBody(netns_path(), name_, ns_, *node_, index_, host_.config.ipv6));
}

absl::StatusOr<LaunchSpec> Pod::BaseLaunch(const Json& container) const {
  Json pod = object_;
  pod["status"] = StatusObject();
  LaunchSpec spec;
  ASSIGN_OR_RETURN(spec.env, PodEnv(container, pod, host_.objects, host_.config.bin_dir, dir()));
  spec.workdir = container.At("workingDir").Str("/");
  spec.netns = netns_path();
  spec.cgroup = host_.cgroup.pod(node_->name, uid_);
  spec.hostname = name_.substr(0, 63);
  const std::string dir = this->dir();
  for (const char* file : {"resolv.conf", "hosts", "nsswitch.conf"}) {
    const std::string shown = std::string("/etc/") + file;
    if (Exists(shown)) spec.binds.emplace_back(dir + "/" + file, shown);
  }
  spec.log_file = fmt::format("{}/pods/{}_{}_{}.log", host_.layout.log(), ns_, name_,
                              container.At("name").Str());
  return spec;
}

absl::Status Pod::MakeContainers() {
  if (!containers_.empty()) return absl::OkStatus();
  const std::string dir = this->dir();
  RETURN_IF_ERROR(MakeDirs(dir));
  RETURN_IF_ERROR(WriteToken(absl::Now()));
  RETURN_IF_ERROR(WriteFile(
      dir + "/resolv.conf",
      fmt::format("nameserver {}\nsearch {}.svc.cluster.local svc.cluster.local cluster.local\n"
                  "options ndots:5\n",
                  kClusterDns, ns_)));
  std::string hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  for (const Json& ip : StatusObject().At("podIPs").Items())
    hosts += ip.At("ip").Str() + " " + name_ + "\n";
  for (const Json& alias : object_.Get({"spec", "hostAliases"}).Items()) {
    for (const Json& name : alias.At("hostnames").Items())
      hosts += alias.At("ip").Str() + " " + name.Str() + "\n";
  }
  RETURN_IF_ERROR(WriteFile(dir + "/hosts", hosts));
  // Names are asked from the mesh alone: never from a resolver of the machine behind a socket.
  RETURN_IF_ERROR(
      WriteFile(dir + "/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"));

  const Json& spec = object_.At("spec");
  std::vector<std::unique_ptr<Container>> init, containers;
  for (const Json& container : spec.At("initContainers").Items()) {
    ASSIGN_OR_RETURN(auto made, MakeContainer(container, RestartPolicy::kOnFailure));
    init.push_back(std::move(made));
  }
  for (const Json& container : spec.At("containers").Items()) {
    ASSIGN_OR_RETURN(auto made, MakeContainer(container, PolicyOf(spec)));
    containers.push_back(std::move(made));
  }
  if (containers.empty()) return Invalid("spec.containers: a pod needs one at least");
  init_ = std::move(init);
  containers_ = std::move(containers);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Container>> Pod::MakeContainer(const Json& spec,
                                                              RestartPolicy policy) const {
  ASSIGN_OR_RETURN(LaunchSpec launch, BaseLaunch(spec));
  std::string problem;
  auto command = host_.images.CommandOf(spec);
  if (command.ok()) {
    for (const std::string& word : *command)
      launch.argv.push_back(ExpandVariables(word, launch.env));
  } else {
    problem = std::string(MessageOf(command.status()));
  }
  return std::make_unique<Container>(spec, std::move(launch), std::move(problem), policy,
                                     host_.children);
}

ProbePlace Pod::Place() const {
  ProbePlace place;
  place.in_node.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  place.in_node.netns = Layout::netns_path(host_.layout.netns_name(node_->name));
  place.in_node.cgroup = host_.cgroup.kubelet(node_->name);
  place.in_node.log_file = "/dev/null";
  place.pod_ip = host_network() ? NodeIp(node_->index, 4) : PodIp(node_->index, index_, 4);
  return place;
}

absl::Status Pod::WriteToken(absl::Time now) {
  const bool waypoint = object_.Get({"metadata", "labels", "gateway.istio.io/managed"}).Str() ==
                        "istio.io-mesh-controller";
  if (!waypoint || !host_.signer) return absl::OkStatus();
  constexpr absl::Duration kLifetime = absl::Hours(12);
  TokenSigner::Subject subject{node_->name, "local-node-" + node_->name, name_, uid_};
  subject.ns = ns_;
  subject.service_account = object_.Get({"spec", "serviceAccountName"}).Str();
  ASSIGN_OR_RETURN(const std::string token, host_.signer->Sign(subject, now, kLifetime));
  token_renewal_ = now + kLifetime / 2;
  return WriteFile(dir() + "/token", token, 0600);
}

void Pod::TickContainers(absl::Time now) {
  if (now >= token_renewal_) {
    token_renewal_ = now + absl::Minutes(1);  // again then, should it fail
    if (const absl::Status status = WriteToken(now); !status.ok()) {
      Logger("pods")->error("token not renewed pod={}/{} err={}", ns_, name_, MessageOf(status));
    }
  }
  const ProbePlace place = Place();
  for (const auto& container : init_) {
    container->Tick(now, place);
    if (!container->succeeded()) return;
  }
  for (const auto& container : containers_) container->Tick(now, place);
}

void Pod::Tick(absl::Time now) {
  // A Pod object that somebody removed is an order to end the pod.
  if (written_once_ && !terminating() && !gone() && !Exists(host_.layout.pod_file(ns_, name_)))
    Terminate(now);
  switch (state_) {
    case State::kNew: {
      if (!node_ || now < retry_at_) return;
      const absl::Status status = MakeNetwork();
      if (!status.ok()) return Retry(now, std::string(MessageOf(status)));
      StartEnrolment();
      return;
    }
    case State::kEnrolling: {
      if (enrolment_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
      absl::Status status = enrolment_.get();
      if (status.ok()) status = MakeContainers();
      if (!status.ok()) return Retry(now, std::string(MessageOf(status)));
      problem_.clear();
      state_ = State::kRunning;
      TickContainers(now);
      WriteObject();
      return;
    }
    case State::kRunning:
      TickContainers(now);
      WriteObject();
      return;
    case State::kTerminating: {
      if (enrolment_.valid() &&
          enrolment_.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
        return;
      const bool alive = std::any_of(containers_.begin(), containers_.end(),
                                     [](const auto& c) { return c->running(); });
      if (alive && now < kill_at_) return;
      containers_.clear();
      init_.clear();
      ::unlink(host_.layout.pod_file(ns_, name_).c_str());
      if (node_) {
        const absl::Status removed = RemoveCgroup(host_.cgroup.pod(node_->name, uid_));
        if (!removed.ok()) Logger("pods")->warn("{}", MessageOf(removed));
        if (network_made_ && !host_network()) host_.network.RemovePod(netns_);
        (void)RemoveTree(dir());
      }
      state_ = State::kGone;
      Logger("pods")->info("pod removed pod={}/{}", ns_, name_);
      return;
    }
    case State::kGone:
      return;
  }
}

void Pod::Terminate(absl::Time now) {
  if (terminating() || gone()) return;
  state_ = State::kTerminating;
  kill_at_ = now + absl::Seconds(object_.Get({"spec", "terminationGracePeriodSeconds"}).Num(30));
  object_["metadata"]["deletionTimestamp"] = Timestamp(now);
  for (const auto& container : init_) container->Signal(SIGKILL);
  for (const auto& container : containers_) container->Signal(SIGTERM);
  if (Exists(host_.layout.pod_file(ns_, name_))) WriteObject();
}

bool Pod::ready() const {
  return state_ == State::kRunning && !containers_.empty() &&
         std::all_of(containers_.begin(), containers_.end(),
                     [](const auto& c) { return c->ready(); });
}

void Pod::UpdateMetadata(const Json& pod) {
  Json& meta = object_["metadata"];
  const std::string netns = meta.Get({"annotations", "local.mesh/netns"}).Str();
  for (const char* part : {"labels", "annotations"}) {
    meta.Erase(part);
    if (pod.Get({"metadata", part}).IsObject()) meta[part] = pod.Get({"metadata", part});
  }
  if (!netns.empty()) meta["annotations"]["local.mesh/netns"] = netns;
  WriteObject();
}

std::string Pod::Phase() const {
  if (state_ != State::kRunning && state_ != State::kTerminating) return "Pending";
  if (containers_.empty()) return "Pending";
  bool all_finished = true, all_succeeded = true, any_started = false;
  for (const auto& container : containers_) {
    all_finished = all_finished && container->finished();
    all_succeeded = all_succeeded && container->succeeded();
    any_started = any_started || container->running() || container->finished() ||
                  container->Status().At("restartCount").Int() > 0;
  }
  if (all_finished) return all_succeeded ? "Succeeded" : "Failed";
  return any_started ? "Running" : "Pending";
}

Json Pod::StatusObject() const {
  Json status = Json::Obj({{"phase", Phase()}, {"qosClass", "BestEffort"}});
  const std::string since = Timestamp(created_);
  const auto condition = [&](const char* type, const char* value) {
    status["conditions"].Push(Json::Obj({{"type", type}, {"status", value}}));
  };
  condition("PodScheduled", node_ ? "True" : "False");
  if (node_ && network_made_) {
    status["hostIP"] = NodeIp(node_->index, 4);
    status["startTime"] = since;
    for (const int family : {4, 6}) {
      if (family == 6 && !host_.config.ipv6) continue;
      const std::string ip =
          host_network() ? NodeIp(node_->index, family) : PodIp(node_->index, index_, family);
      if (family == 4) status["podIP"] = ip;
      status["podIPs"].Push(Json::Obj({{"ip", ip}}));
      status["hostIPs"].Push(Json::Obj({{"ip", NodeIp(node_->index, family)}}));
    }
  }
  // There while it holds and only then: who waits for it need not parse more.
  if (ready()) {
    condition("Initialized", "True");
    condition("ContainersReady", "True");
    condition("Ready", "True");
  }
  for (const auto& container : init_) status["initContainerStatuses"].Push(container->Status());
  for (const auto& container : containers_) status["containerStatuses"].Push(container->Status());
  if (!problem_.empty()) {
    status["reason"] = node_ ? "NotStarted" : "Unschedulable";
    status["message"] = problem_;
  }
  return status;
}

void Pod::WriteObject() {
  Json object = object_;
  object["status"] = StatusObject();
  const std::string text = object.Dump(true) + "\n";
  if (text == written_) return;
  const absl::Status status = WriteFile(host_.layout.pod_file(ns_, name_), text);
  if (!status.ok()) {
    Logger("pods")->error("cannot write a pod's object pod={}/{} err={}", ns_, name_,
                          MessageOf(status));
    return;
  }
  written_ = text;
  written_once_ = true;
}

}  // namespace mesh::local
