#include "agent/node/enroll/enroller.h"

#include <algorithm>
#include <set>
#include <utility>

#include "agent/node/enroll/routing.h"
#include "agent/node/enroll/state_file.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::node {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(5);
constexpr absl::Duration kMaxBackoff = absl::Seconds(5);
constexpr absl::Duration kRefreshEvery = absl::Seconds(10);
// A ztunnel may answer a moment before it listens.
constexpr absl::Duration kListenerPatience = absl::Milliseconds(250);
constexpr absl::Duration kListenerLook = absl::Milliseconds(5);

void Warn(std::string_view what, const PodSpec& pod, const absl::Status& status) {
  if (!status.ok()) Logger("enroll")->warn("{} pod={}: {}", what, pod.FullName(), Describe(status));
}

// Paths may differ for one namespace; one that has gone says nothing.
bool InAnotherNetns(const CapturedPod& pod, const std::string& path) {
  if (path.empty() || pod.netns_path == path) return false;
  const auto opened = OpenPod(pod.uid, path);
  return opened.ok() && opened->cookie != pod.cookie;
}

}  // namespace

std::string_view NameOf(PodState state) {
  switch (state) {
    case PodState::kNotEnrolled:
      return "not_enrolled";
    case PodState::kPending:
      return "pending";
    case PodState::kEnrolled:
      return "enrolled";
  }
  return "";
}

Enroller::Enroller(EnrollerOptions options, Dataplane& dataplane, zds::Server& zds,
                   Annotator& annotator)
    : options_(std::move(options)), dataplane_(dataplane), zds_(zds), annotator_(annotator) {}

absl::Status Enroller::Restore() {
  const absl::StatusOr<std::vector<SavedPod>> saved = LoadState(options_.state_file);
  if (!saved.ok()) {
    // What is pinned goes on capturing; the source says again which pods those are.
    record_lost_ = true;
    if (!absl::IsNotFound(saved.status()) || !dataplane_.Cookies().empty()) {
      Logger("enroll")->error("the state of an earlier agent is lost: {}",
                              Describe(saved.status()));
    }
    return absl::OkStatus();
  }
  for (const SavedPod& pod : *saved) {
    Entry entry;
    entry.spec.uid = pod.uid;
    entry.spec.name = pod.name;
    entry.spec.ns = pod.ns;
    entry.spec.service_account = pod.service_account;
    entry.netns_path = pod.netns_path;
    entry.ips = pod.ips;
    entry.captured = CapturedPod{.uid = pod.uid,
                                 .netns_path = pod.netns_path,
                                 .netns = nullptr,
                                 .cookie = pod.cookie,
                                 .addresses = {}};
    ReadKernel(entry);
    const absl::Status status = Settle(entry);
    if (absl::IsNotFound(status)) {
      Logger("enroll")->info("the namespace of an earlier pod has gone pod={}",
                             entry.spec.FullName());
      continue;
    }
    zds_.Hold(Held(entry));
    entry.reason = "adopted from an earlier agent";
    entry.state = PodState::kEnrolled;
    if (!status.ok()) SetPending(entry, status);
    entries_.emplace(pod.uid, std::move(entry));
  }
  ClearOrphans();
  if (!entries_.empty()) Logger("enroll")->info("adopted pods={}", entries_.size());
  return absl::OkStatus();
}

// The flags in the maps stay what they are until the source has spoken.
void Enroller::ReadKernel(Entry& entry) {
  const auto netns_flags = dataplane_.NetnsFlags(entry.captured->cookie);
  entry.flags.dns = !netns_flags || (*netns_flags & MESH_NETNS_DNS) != 0;
  for (const auto& [ip, value] : dataplane_.Pods()) {
    if (value.netns_cookie != entry.captured->cookie) continue;
    entry.captured->addresses.push_back(ip);
    entry.flags.strict |= (value.flags & MESH_POD_STRICT) != 0;
    entry.flags.bypass_inbound |= (value.flags & MESH_POD_BYPASS_INBOUND) != 0;
  }
}

absl::Status Enroller::Settle(Entry& entry) {
  CapturedPod& pod = *entry.captured;
  entry.settled = false;
  if (pod.netns == nullptr) {
    absl::StatusOr<CapturedPod> opened = OpenPod(entry.spec.uid, entry.netns_path);
    if (opened.ok() && opened->cookie != pod.cookie) {
      opened = NotFound("{} is another namespace now", entry.netns_path);
    }
    // A path may be lost, or not be there yet, while the namespace and its processes live on.
    if (absl::IsNotFound(opened.status()) && dataplane_.NetnsLives(entry.spec.uid)) {
      return Unavailable("its namespace is not where it was: {}", MessageOf(opened.status()));
    }
    RETURN_IF_ERROR(opened.status());
    pod.netns_path = entry.netns_path;
    pod.netns = std::move(opened->netns);
  }
  Warn("source routing", entry.spec, AddSourceRouting(*pod.netns));
  const absl::Status status = ActivatePod(dataplane_, pod, entry.ips, entry.flags);
  if (!status.ok()) return Unavailable("renew its capture: {}", MessageOf(status));
  entry.settled = true;
  return absl::OkStatus();
}

void Enroller::SettleAgain(Entry& entry) {
  const absl::Status status = Settle(entry);
  if (absl::IsNotFound(status)) {
    Unenrol(entry);
    Reconcile(entry);
    return;
  }
  if (!status.ok()) return SetPending(entry, status);
  entry.retry_at = absl::InfiniteFuture();  // Tick() sees its listener come
  HandOver(entry);
}

void Enroller::HandOver(const Entry& entry) {
  zds_.Hold(Held(entry));
  if (zds_.connected() > 0) zds_.Offer(Held(entry));
}

absl::StatusOr<bool> Enroller::Adopt(Entry& entry) {
  ASSIGN_OR_RETURN(CapturedPod pod, OpenPod(entry.spec.uid, entry.netns_path));
  const auto flags = dataplane_.NetnsFlags(pod.cookie);
  if (!flags || (*flags & MESH_NETNS_CAPTURE) == 0) return false;
  entry.captured = std::move(pod);
  ReadKernel(entry);
  entry.flags = FlagsOf(entry.spec);
  Save();
  HandOver(entry);
  RETURN_IF_ERROR(Settle(entry));
  return true;
}

void Enroller::ClearOrphans() {
  std::set<uint64_t> cookies;
  std::set<std::string> uids;
  const std::map<IpAddress, mesh_pod> pods = dataplane_.Pods();
  record_lost_ = false;
  for (const auto& [uid, entry] : entries_) {
    if (entry.captured) {
      cookies.insert(entry.captured->cookie);
    } else if (Decide(entry.spec, options_.decision).enrol) {
      // It may be captured still, and will be taken up when its namespace is known.
      record_lost_ = true;
      for (const IpAddress& ip : entry.ips) {
        if (const auto it = pods.find(ip); it != pods.end())
          cookies.insert(it->second.netns_cookie);
      }
    } else {
      continue;
    }
    uids.insert(uid);
  }
  for (const std::string& uid : dataplane_.AttachedUids()) {
    if (!uids.contains(uid)) (void)dataplane_.DetachLookup(uid);
  }
  for (const auto& [ip, pod] : pods) {
    if (!cookies.contains(pod.netns_cookie)) (void)dataplane_.ErasePod(ip, pod.netns_cookie);
  }
  for (const uint64_t cookie : dataplane_.Cookies()) {
    if (!cookies.contains(cookie)) (void)dataplane_.EraseNetns(cookie);
  }
}

void Enroller::SetPods(const std::map<std::string, PodSpec>& pods) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (pods.contains(it->first)) {
      ++it;
      continue;
    }
    if (it->second.captured) Unenrol(it->second);
    it = entries_.erase(it);
  }
  for (const auto& [uid, spec] : pods) {
    Entry& entry = entries_[uid];
    if (entry.spec == spec) continue;
    entry.spec = spec;
    if (!spec.netns_path.empty()) entry.netns_path = spec.netns_path;
    if (!spec.ips.empty()) entry.ips = spec.ips;
    Reconcile(entry);
  }
  if (record_lost_) ClearOrphans();
  StringSet annotated;
  for (const auto& [uid, entry] : entries_) {
    if (entry.state != PodState::kNotEnrolled) annotated.insert(entry.spec.FullName());
  }
  if (const absl::Status status = annotator_.ClearOthers(annotated); !status.ok()) {
    Logger("enroll")->warn("annotations: {}", Describe(status));
  }
}

void Enroller::Reconcile(Entry& entry) {
  const Decision decision = Decide(entry.spec, options_.decision);
  if (!decision.enrol) {
    if (entry.captured) Unenrol(entry);
    entry.state = PodState::kNotEnrolled;
    entry.reason = decision.reason;
    entry.retry_at = absl::InfiniteFuture();
    return;
  }
  if (entry.captured && InAnotherNetns(*entry.captured, entry.netns_path)) Unenrol(entry);
  if (entry.captured) {
    Update(entry);
    return;
  }
  if (const absl::Status status = Enrol(entry, decision.reason); !status.ok())
    SetPending(entry, status);
}

absl::Status Enroller::Enrol(Entry& entry, const std::string& reason) {
  if (entry.netns_path.empty()) return Unavailable("its network namespace is not known yet");
  ASSIGN_OR_RETURN(const bool adopted, Adopt(entry));
  if (adopted) {
    entry.reason = reason;
    SetEnrolled(entry);
    return absl::OkStatus();
  }
  if (zds_.connected() == 0) return Unavailable("no ztunnel is connected");
  ASSIGN_OR_RETURN(entry.captured, PreparePod(dataplane_, entry.spec.uid, entry.netns_path));
  // From here a crash finds the pod in the state file, and its capture is taken up, never
  // forgotten.
  Save();
  if (const absl::Status status = ServeAndActivate(entry); !status.ok()) {
    GiveUp(entry);
    return status;
  }
  AwaitListener(entry);
  if (entry.listener_by != absl::InfiniteFuture()) {
    return Unavailable("ztunnel does not listen for it yet");
  }
  entry.reason = reason;
  SetEnrolled(entry);
  return absl::OkStatus();
}

absl::Status Enroller::ServeAndActivate(Entry& entry) {
  RETURN_IF_ERROR(zds_.Add(Held(entry)));
  entry.flags = FlagsOf(entry.spec);
  return ActivatePod(dataplane_, *entry.captured, entry.ips, entry.flags);
}

// Undoes an attempt, and only that: whoever serves the pod since before keeps what it serves.
void Enroller::GiveUp(Entry& entry) {
  Warn("give up", entry.spec, ReleasePod(dataplane_, *entry.captured));
  zds_.TakeBack(entry.spec.uid);
  entry.captured.reset();
  Save();
}

void Enroller::AwaitListener(Entry& entry) {
  const bool listens = dataplane_.HasListener(entry.captured->cookie);
  entry.listener_by = listens ? absl::InfiniteFuture() : absl::Now() + kListenerPatience;
  entry.renewed = false;
}

// A ztunnel that had the pod before the programs were loaded says yes without listening anew, and
// the kernel does not know its listener. Taking the pod away and giving it again makes it listen.
void Enroller::LookForListener(Entry& entry, absl::Time now) {
  if (dataplane_.HasListener(entry.captured->cookie)) {
    entry.listener_by = absl::InfiniteFuture();
  } else if (now >= entry.listener_by && !std::exchange(entry.renewed, true)) {
    zds_.Renew(Held(entry));
    entry.listener_by = absl::Now() + kListenerPatience;
  } else if (now >= entry.listener_by) {
    Logger("enroll")->warn("ztunnel does not listen for plain text; it will be refused pod={}",
                           entry.spec.FullName());
    entry.listener_by = absl::InfiniteFuture();
    if (!entry.settled || entry.state != PodState::kPending) return;
    entry.reason = Decide(entry.spec, options_.decision).reason;
    SetEnrolled(entry);
  }
}

void Enroller::Unenrol(Entry& entry) {
  Warn("un-enrol", entry.spec, ReleasePod(dataplane_, *entry.captured));
  zds_.Remove(entry.spec.uid);
  entry.captured.reset();
  entry.settled = true;
  entry.listener_by = absl::InfiniteFuture();
  Save();
  Warn("un-enrol: annotation", entry.spec, annotator_.Clear(entry.spec.ns, entry.spec.name));
  if (entry.state == PodState::kEnrolled)
    Logger("enroll")->info("un-enrolled pod={}", entry.spec.FullName());
  entry.state = PodState::kNotEnrolled;
}

void Enroller::Update(Entry& entry) {
  entry.reason = Decide(entry.spec, options_.decision).reason;
  entry.flags = FlagsOf(entry.spec);
  if (entry.settled) {
    Warn("update", entry.spec, ActivatePod(dataplane_, *entry.captured, entry.ips, entry.flags));
  } else {
    entry.retry_at = absl::Now();
  }
  Warn("annotation", entry.spec, annotator_.Set(entry.spec.ns, entry.spec.name, "enabled"));
}

void Enroller::SetPending(Entry& entry, const absl::Status& why) {
  const std::string reason(MessageOf(why));
  if (entry.state != PodState::kPending || entry.reason != reason) {
    Logger("enroll")->warn("pending pod={}: {}", entry.spec.FullName(), reason);
    // For its peers a captured pod stays in the mesh: "pending" would have them send plain text.
    Warn("annotation", entry.spec,
         annotator_.Set(entry.spec.ns, entry.spec.name, entry.captured ? "enabled" : "pending"));
  }
  entry.state = PodState::kPending;
  entry.reason = reason;
  entry.backoff = std::clamp(entry.backoff * 2, kFirstBackoff, kMaxBackoff);
  entry.retry_at = absl::Now() + entry.backoff;
}

void Enroller::SetEnrolled(Entry& entry) {
  entry.state = PodState::kEnrolled;
  entry.backoff = absl::ZeroDuration();
  entry.retry_at = absl::InfiniteFuture();
  Warn("annotation", entry.spec, annotator_.Set(entry.spec.ns, entry.spec.name, "enabled"));
  Logger("enroll")->info("enrolled pod={} uid={} cookie={} strict={}", entry.spec.FullName(),
                         entry.spec.uid, entry.captured->cookie, entry.flags.strict);
}

// The event names no uid, and a pod that is made anew under its name may come before its source has
// the old one gone: what runs in another sandbox is not the pod that is meant.
Enroller::Entry* Enroller::FindForSandbox(const CniEvent& event) {
  Entry* found = nullptr;
  for (auto& [uid, entry] : entries_) {
    if (entry.spec.ns != event.pod_namespace || entry.spec.name != event.pod_name) continue;
    const bool elsewhere = entry.captured && InAnotherNetns(*entry.captured, event.netns_path);
    if (elsewhere && dataplane_.NetnsLives(uid)) continue;
    // One that waits for its sandbox before one whose sandbox has gone.
    if (found == nullptr || !elsewhere) found = &entry;
  }
  return found;
}

absl::Status Enroller::OnCniAdd(const CniEvent& event) {
  Entry* const known = FindForSandbox(event);
  if (known == nullptr) {
    return NotFound("pod {}/{} is not known on this node", event.pod_namespace, event.pod_name);
  }
  Entry& entry = *known;
  entry.netns_path = event.netns_path;
  if (!event.ips.empty()) entry.ips = event.ips;
  const Decision decision = Decide(entry.spec, options_.decision);
  if (!decision.enrol) {
    Reconcile(entry);
    return absl::OkStatus();
  }
  if (entry.captured) {
    // The same pod in another sandbox, or the sandbox that is enrolled already.
    ASSIGN_OR_RETURN(const CapturedPod now, OpenPod(entry.spec.uid, event.netns_path));
    if (now.cookie == entry.captured->cookie) {
      entry.captured->netns_path = event.netns_path;
      Update(entry);
      if (entry.state == PodState::kEnrolled) return absl::OkStatus();
      return Unavailable("pod {} is not served yet: {}", entry.spec.FullName(), entry.reason);
    }
    Unenrol(entry);
  }
  const absl::Status status = Enrol(entry, decision.reason);
  if (!status.ok()) SetPending(entry, status);
  return WithContext(status, "enrol pod " + entry.spec.FullName());
}

absl::Duration Enroller::Tick() {
  const absl::Time now = absl::Now();
  const bool refresh = now >= next_refresh_;
  if (refresh) next_refresh_ = now + kRefreshEvery;
  absl::Time next = next_refresh_;
  for (auto& [uid, entry] : entries_) {
    if (entry.captured && !entry.settled && entry.retry_at <= now) SettleAgain(entry);
    if (entry.captured && entry.listener_by != absl::InfiniteFuture()) {
      LookForListener(entry, now);
      if (entry.listener_by != absl::InfiniteFuture()) next = std::min(next, now + kListenerLook);
    }
    if (entry.captured && entry.settled && entry.state == PodState::kPending &&
        dataplane_.HasListener(entry.captured->cookie)) {
      entry.reason = Decide(entry.spec, options_.decision).reason;
      SetEnrolled(entry);
    }
    if (entry.retry_at <= now) {
      if (entry.captured) {
        entry.retry_at = now + absl::Seconds(1);
      } else {
        Reconcile(entry);
      }
    }
    if (refresh && entry.captured && entry.settled) {
      Warn("refresh", entry.spec, ActivatePod(dataplane_, *entry.captured, entry.ips, entry.flags));
    }
    next = std::min(next, entry.retry_at);
  }
  return std::max(next - absl::Now(), absl::Milliseconds(1));
}

void Enroller::OnSnapshotAck(const std::string& uid, const absl::Status& status) {
  const auto it = entries_.find(uid);
  if (it == entries_.end() || !it->second.captured) return;
  if (status.ok()) return;
  // ztunnel tries that pod again by itself; Tick() sees its listener come.
  SetPending(it->second, status);
  it->second.retry_at = absl::Now() + absl::Seconds(1);
}

void Enroller::OnConnections(int connected) {
  if (connected == 0) return;
  for (auto& [uid, entry] : entries_) {
    if (entry.captured && entry.state == PodState::kEnrolled) {
      AwaitListener(entry);
    } else if (!entry.captured && entry.state == PodState::kPending) {
      entry.backoff = absl::ZeroDuration();
      Reconcile(entry);
    }
  }
}

std::vector<PodReport> Enroller::Report() const {
  std::vector<PodReport> report;
  for (const auto& [uid, entry] : entries_) {
    PodReport pod{.spec = entry.spec, .state = entry.state, .reason = entry.reason};
    pod.spec.ips = entry.ips;
    pod.spec.netns_path = entry.netns_path;
    pod.listener = entry.captured && dataplane_.HasListener(entry.captured->cookie);
    report.push_back(std::move(pod));
  }
  return report;
}

CaptureFlags Enroller::FlagsOf(const PodSpec& spec) const {
  return {.strict = spec.strict,
          .bypass_inbound = BypassesInbound(spec),
          .dns = WantsDnsCapture(spec, options_.dns_capture)};
}

zds::HeldPod Enroller::Held(const Entry& entry) const {
  return {.info = {.uid = entry.spec.uid,
                   .name = entry.spec.name,
                   .ns = entry.spec.ns,
                   .service_account = entry.spec.service_account},
          .netns = entry.captured->netns};
}

void Enroller::Save() {
  std::vector<SavedPod> pods;
  for (const auto& [uid, entry] : entries_) {
    if (!entry.captured) continue;
    pods.push_back({.uid = uid,
                    .name = entry.spec.name,
                    .ns = entry.spec.ns,
                    .service_account = entry.spec.service_account,
                    .netns_path = entry.captured->netns_path,
                    .cookie = entry.captured->cookie,
                    .ips = entry.ips});
  }
  if (const absl::Status status = SaveState(options_.state_file, pods); !status.ok()) {
    Logger("enroll")->error("{}", Describe(status));
  }
}

}  // namespace mesh::node
