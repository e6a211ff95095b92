#include "agent/node/cleanup.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "agent/node/bpf/dataplane.h"
#include "agent/node/bpf/pins.h"
#include "agent/node/enroll/annotations.h"
#include "agent/node/enroll/routing.h"
#include "agent/node/enroll/state_file.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::node {
namespace {

void Keep(absl::Status& first, const absl::Status& status) {
  if (status.ok()) return;
  Logger("cleanup")->warn("{}", Describe(status));
  if (first.ok()) first = status;
}

absl::Status RestorePods(const std::string& state_file) {
  const absl::StatusOr<std::vector<SavedPod>> pods = LoadState(state_file);
  if (absl::IsNotFound(pods.status())) return absl::OkStatus();
  RETURN_IF_ERROR(pods.status());
  absl::Status first;
  for (const SavedPod& pod : *pods) {
    const auto netns = Netns::Open(pod.netns_path);
    if (!netns.ok()) continue;  // gone, and its routing with it
    const auto cookie = netns->Cookie();
    if (cookie.ok() && *cookie == pod.cookie) Keep(first, RemoveSourceRouting(*netns));
  }
  return first;
}

absl::Status RemoveProbeAddress(const std::string& text) {
  const auto ip = IpAddress::Parse(text);
  return ip ? RemoveLoopbackAddress(*ip) : absl::OkStatus();
}

}  // namespace

absl::Status CleanUpNode(const NodeOptions& options) {
  absl::Status first;
  Keep(first, Dataplane::Cleanup(options.bpf_dir));
  Keep(first, RestorePods(StateFile(options.state_dir)));
  Keep(first, Unpin(StateFile(options.state_dir)));
  Keep(first, RemoveTree(ObjectsDir(options.state_dir)));
  Keep(first, Unpin(LockFile(options.state_dir)));
  PatchAnnotator annotator(options.patch_dir, options.node_name);
  if (!options.node_name.empty()) Keep(first, annotator.ClearOthers({}));
  for (const std::string& socket : {options.zds_socket, options.cni_socket, options.admin_socket}) {
    if (!socket.empty()) Keep(first, Unpin(socket));
  }
  if (!options.prober_cgroup.empty()) {
    Keep(first, RemoveProbeAddress(options.probe_ipv4));
    Keep(first, RemoveProbeAddress(options.probe_ipv6));
  }
  std::error_code error;
  std::filesystem::remove(options.state_dir, error);  // when empty
  return first;
}

}  // namespace mesh::node
