// Keeps the pods of this node in the state that their labels ask for.
//
// Order for one pod: namespace and routing prepared, ztunnel told and its answer awaited, then
// capture switched on, then the annotation. So a running pod is never captured before somebody
// serves it, and a new one does not start before it is captured. What fails is undone and tried
// again, 5 ms at first, 5 s at most. One pod's failure is that pod's alone.
//
// A captured pod stays captured, and is told so to the cluster, until its source has it un-enrolled
// or it has gone: not while ztunnel cannot serve it, nor when its namespace cannot be opened or the
// record of an earlier agent is lost. Then its connections are refused, never plain.
//
// Owner: the node's main. Thread: one. Blocks for as long as ztunnel takes to answer to a new pod,
// 5 s at most: one that leaves that unanswered is not asked again.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/node/bpf/dataplane.h"
#include "agent/node/cni/event.h"
#include "agent/node/decision.h"
#include "agent/node/enroll/annotations.h"
#include "agent/node/enroll/pod_capture.h"
#include "agent/node/pod.h"
#include "agent/node/zds/server.h"

namespace mesh::node {

enum class PodState { kNotEnrolled, kPending, kEnrolled };
std::string_view NameOf(PodState state);  // "enrolled"

struct PodReport {
  PodSpec spec;
  PodState state = PodState::kNotEnrolled;
  std::string reason;
  bool listener = false;  // ztunnel's inbound listener is known to the kernel
};

struct EnrollerOptions {
  DecisionOptions decision;
  bool dns_capture = true;
  std::string state_file;
};

class Enroller {
 public:
  Enroller(EnrollerOptions options, Dataplane& dataplane, zds::Server& zds, Annotator& annotator);

  // Takes up what an earlier agent enrolled, and clears what it left half done. Once, before the
  // rest.
  absl::Status Restore();
  // Every pod of this node by uid, as its source has it now. Others are un-enrolled.
  void SetPods(const std::map<std::string, PodSpec>& pods);
  // A sandbox was made. NotFound: the source does not know the pod (yet). Ok: enrolled, or not to
  // be.
  absl::Status OnCniAdd(const CniEvent& event);
  // Retries what is due and looks for changed addresses. Returns when to come again.
  absl::Duration Tick();
  void OnSnapshotAck(const std::string& uid, const absl::Status& status);
  // The number of connected ztunnels changed.
  void OnConnections(int connected);

  std::vector<PodReport> Report() const;

 private:
  struct Entry {
    PodSpec spec;
    std::string netns_path;
    PodState state = PodState::kNotEnrolled;
    std::string reason;
    std::optional<CapturedPod> captured;
    bool settled =
        true;  // false: an earlier agent captured it, and this one could not yet renew it
    CaptureFlags flags;
    std::vector<IpAddress> ips;
    absl::Duration backoff = absl::ZeroDuration();
    absl::Time retry_at = absl::InfiniteFuture();
    absl::Time listener_by = absl::InfiniteFuture();  // infinite: it listens, or is not waited for
    bool renewed = false;                             // taken away and given again for that
  };

  Entry* FindForSandbox(const CniEvent& event);  // null: no pod that it can be
  void Reconcile(Entry& entry);
  // Whether an earlier agent captured the pod, without a record; it is taken up as it is.
  absl::StatusOr<bool> Adopt(Entry& entry);
  // Makes whole what an earlier agent captured. NotFound: its namespace has gone.
  absl::Status Settle(Entry& entry);
  void SettleAgain(Entry& entry);
  // To the ztunnels that are there and those that come, a pod that is captured already.
  void HandOver(const Entry& entry);
  void ReadKernel(Entry& entry);
  absl::Status Enrol(Entry& entry, const std::string& reason);
  absl::Status ServeAndActivate(Entry& entry);
  void GiveUp(Entry& entry);
  // Tick() looks whether the kernel knows ztunnel's listener, until it does or the time is over.
  void AwaitListener(Entry& entry);
  void LookForListener(Entry& entry, absl::Time now);
  void Unenrol(Entry& entry);
  void Update(Entry& entry);
  void SetPending(Entry& entry, const absl::Status& why);
  void SetEnrolled(Entry& entry);
  CaptureFlags FlagsOf(const PodSpec& spec) const;
  zds::HeldPod Held(const Entry& entry) const;
  void Save();
  // Un-captures what no entry answers for.
  void ClearOrphans();

  const EnrollerOptions options_;
  Dataplane& dataplane_;
  zds::Server& zds_;
  Annotator& annotator_;
  std::map<std::string, Entry> entries_;  // by uid
  bool record_lost_ = false;  // what is pinned may belong to a pod that is not in entries_
  absl::Time next_refresh_ = absl::InfinitePast();
};

}  // namespace mesh::node
