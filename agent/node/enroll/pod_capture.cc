#include "agent/node/enroll/pod_capture.h"

#include <algorithm>

#include "agent/node/enroll/routing.h"
#include "ztunnel/base/status.h"

namespace mesh::node {
namespace {

void Keep(absl::Status& first, const absl::Status& status) {
  if (first.ok() && !status.ok()) first = status;
}

uint32_t PodFlags(CaptureFlags flags) {
  return MESH_POD_ENROLLED | (flags.strict ? MESH_POD_STRICT : 0) |
         (flags.bypass_inbound ? MESH_POD_BYPASS_INBOUND : 0);
}

}  // namespace

absl::StatusOr<CapturedPod> OpenPod(const std::string& uid, const std::string& netns_path) {
  CapturedPod pod;
  pod.uid = uid;
  pod.netns_path = netns_path;
  ASSIGN_OR_RETURN(Netns netns, Netns::Open(netns_path));
  ASSIGN_OR_RETURN(pod.cookie, netns.Cookie());
  pod.netns = std::make_shared<const Netns>(std::move(netns));
  return pod;
}

absl::StatusOr<CapturedPod> PreparePod(Dataplane& dataplane, const std::string& uid,
                                       const std::string& netns_path) {
  ASSIGN_OR_RETURN(CapturedPod pod, OpenPod(uid, netns_path));
  RETURN_IF_ERROR(AddSourceRouting(*pod.netns));
  // What is captured already stays captured.
  if (dataplane.NetnsFlags(pod.cookie)) return pod;
  const absl::Status prepared = dataplane.SetNetns(pod.cookie, 0);
  if (!prepared.ok()) (void)RemoveSourceRouting(*pod.netns);
  RETURN_IF_ERROR(prepared);
  return pod;
}

absl::Status ActivatePod(Dataplane& dataplane, CapturedPod& pod, const std::vector<IpAddress>& told,
                         CaptureFlags flags) {
  std::vector<IpAddress> addresses = told;
  if (pod.netns != nullptr) {
    ASSIGN_OR_RETURN(const std::vector<IpAddress> found, AddressesOf(*pod.netns));
    addresses.insert(addresses.end(), found.begin(), found.end());
  }
  std::ranges::sort(addresses);
  addresses.erase(std::ranges::unique(addresses).begin(), addresses.end());
  for (const IpAddress& ip : addresses) {
    RETURN_IF_ERROR(dataplane.SetPod(ip, pod.cookie, PodFlags(flags)));
  }
  for (const IpAddress& ip : pod.addresses) {
    if (!std::ranges::binary_search(addresses, ip)) {
      RETURN_IF_ERROR(dataplane.ErasePod(ip, pod.cookie));
    }
  }
  pod.addresses = std::move(addresses);
  // It refuses every address of the namespace that is not in the map, so it comes after them.
  if (pod.netns != nullptr) RETURN_IF_ERROR(dataplane.AttachLookup(*pod.netns, pod.uid));
  return dataplane.SetNetns(pod.cookie, MESH_NETNS_CAPTURE | (flags.dns ? MESH_NETNS_DNS : 0));
}

absl::Status ReleasePod(Dataplane& dataplane, CapturedPod& pod) {
  absl::Status first = dataplane.EraseNetns(pod.cookie);
  Keep(first, dataplane.DetachLookup(pod.uid));
  for (const IpAddress& ip : pod.addresses) Keep(first, dataplane.ErasePod(ip, pod.cookie));
  pod.addresses.clear();
  if (pod.netns != nullptr) Keep(first, RemoveSourceRouting(*pod.netns));
  return first;
}

}  // namespace mesh::node
