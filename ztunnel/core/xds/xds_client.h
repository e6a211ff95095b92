// Discovery: keeps a StateStore equal to what the control plane says, over delta-ADS.
//
// Owner: main. Thread: the loop's, which also owns the store; DemandAddress and the getters of
// counters may be called from any thread. After each response that changed something `on_publish`
// gets the next snapshot. A control plane that is away changes nothing: the last state stays in
// force, the client connects again with back-off and tells what it holds. A bad resource is refused
// by name, the rest of its response applies.
#pragma once

#include <absl/time/time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/core/xds/backoff.h"
#include "ztunnel/core/xds/delta_client.h"
#include "ztunnel/core/xds/journal.h"
#include "ztunnel/core/xds/state_sink.h"
#include "ztunnel/core/xds/transport.h"

namespace mesh::xds {

// Why a stream ended, as istio_xds_connection_terminations_total words it.
enum class Termination { kConnectionError, kError, kReconnect, kComplete };
inline constexpr std::array<const char*, 4> kTerminationLabels = {"ConnectionError", "Error",
                                                                  "Reconnect", "Complete"};

struct XdsCounters {
  struct Type {
    std::string_view url;
    std::atomic<uint64_t> messages{0};  // istio_xds_message_total{url}
    std::atomic<uint64_t> bytes{0};     // istio_xds_message_bytes_total{url}
    std::atomic<uint64_t> rejected{0};  // resources
  };
  std::array<Type, 2> types;
  std::array<std::atomic<uint64_t>, 4> terminations{};  // by Termination
  std::atomic<bool> connected{false};                   // the stream has answered
  std::atomic<uint64_t> demands{0};                     // addresses asked for on demand
  std::atomic<uint64_t> demands_given_up{0};            // not answered in time, or too many waited
  std::atomic<uint64_t> demands_waiting{0};
};

class XdsClient : public StreamListener {
 public:
  struct Options {
    Node node;
    bool on_demand = false;  // XDS_ON_DEMAND
    std::string copy_path;   // last good configuration; empty: none is kept
    // How long a starting proxy waits for the control plane before it takes the copy.
    absl::Duration copy_after = absl::Seconds(5);
    absl::Duration demand_timeout = absl::Seconds(5);
    // Resources beside those of the mesh, and who takes them (outlives the client).
    std::vector<std::string> more_types;
    ResourceSink* more_sink = nullptr;
  };
  using OnPublish = std::function<void(state::MeshStateRef)>;

  XdsClient(base::EventLoop& loop, state::StateStore& store, std::unique_ptr<Transport> transport,
            Options options, OnPublish on_publish);
  ~XdsClient() override;  // on the loop's thread, or after the loop ended

  void Start();
  // Calls `ready` once, at once or when every wildcard type was first answered (or taken from the
  // copy).
  void WhenReady(std::function<void()> ready);
  bool ready() const { return ready_; }

  // On demand only (else `done` comes at once): asks for "network/ip", "namespace/hostname" or a
  // uid, then posts `done` to `loop`. True: the control plane has answered, with or without it, and
  // the snapshot with the answer is published before. False: it did not within demand_timeout, or
  // too many wait. What it answered once is remembered, also that there is nothing: it tells when
  // that changes. Any thread.
  using OnDemanded = std::function<void(bool answered)>;
  void DemandAddress(std::string name, base::EventLoop& loop, OnDemanded done);

  const XdsCounters& counters() const { return counters_; }

  void OnMessage(Response response) override;
  void OnClosed(const absl::Status& status) override;

 private:
  struct Waiter {
    base::EventLoop* loop;
    OnDemanded done;
    uint64_t id;
  };
  static constexpr size_t kMaxWaiters = 65'536;  // beyond, a demand is given up at once

  void Connect();
  void ScheduleConnect(absl::Duration delay);
  void TakeCopy();
  void CheckReady();
  void Save(const Response& accepted);
  void Demand(const std::string& name, Waiter waiter);
  void Wake(const std::vector<std::string>& names);
  static void Finish(Waiter waiter, bool answered);
  void TimeOut(const std::string& name, uint64_t id);
  XdsCounters::Type* Count(const Response& response);  // null: of no known type

  base::EventLoop& loop_;
  state::StateStore& store_;
  const std::unique_ptr<Transport> transport_;
  const Options options_;
  const OnPublish on_publish_;
  StateSink sink_;
  DeltaClient delta_;
  Journal journal_;
  bool journal_open_ = false;
  bool journal_complete_ = false;
  Backoff backoff_;
  std::unique_ptr<Stream> stream_;
  bool served_ = false;      // this stream has answered
  bool complained_ = false;  // about the present outage
  base::EventLoop::TimerId connect_timer_ = 0;
  base::EventLoop::TimerId copy_timer_ = 0;
  std::atomic<bool> ready_{false};
  std::vector<std::function<void()>> when_ready_;
  StringMap<std::vector<Waiter>> waiting_;
  uint64_t last_waiter_ = 0;
  XdsCounters counters_;
  // Posted work holds this and looks whether the client is still there. The loop's thread only.
  const std::shared_ptr<XdsClient*> self_;
};

}  // namespace mesh::xds
