#include "ztunnel/core/xds/xds_client.h"

#include <algorithm>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::xds {
namespace {

bool Changes(const Response& accepted) {
  return !accepted.resources().empty() || !accepted.removed_resources().empty();
}

}  // namespace

XdsClient::XdsClient(base::EventLoop& loop, state::StateStore& store,
                     std::unique_ptr<Transport> transport, Options options, OnPublish on_publish)
    : loop_(loop),
      store_(store),
      transport_(std::move(transport)),
      options_(std::move(options)),
      on_publish_(std::move(on_publish)),
      sink_(store, options_.more_sink),
      delta_({options_.node, options_.on_demand, options_.more_types}, sink_),
      journal_(options_.copy_path),
      self_(std::make_shared<XdsClient*>(this)) {
  counters_.types[0].url = kAddressType;
  counters_.types[1].url = kAuthorizationType;
}

XdsClient::~XdsClient() {
  *self_ = nullptr;
  loop_.CancelTimer(connect_timer_);
  loop_.CancelTimer(copy_timer_);
}

void XdsClient::Start() {
  if (journal_.enabled()) {
    copy_timer_ = loop_.After(options_.copy_after, [this] { TakeCopy(); });
  }
  Connect();
}

void XdsClient::WhenReady(std::function<void()> ready) {
  if (ready_) return ready();
  when_ready_.push_back(std::move(ready));
}

void XdsClient::Connect() {
  connect_timer_ = 0;
  served_ = false;
  auto stream = transport_->Open(*this);
  if (!stream.ok()) return OnClosed(stream.status());
  stream_ = *std::move(stream);
  stream_->Send(delta_.Open());
}

void XdsClient::ScheduleConnect(absl::Duration delay) {
  connect_timer_ = loop_.After(delay, [this] { Connect(); });
}

void XdsClient::OnMessage(Response response) {
  if (!std::exchange(served_, true)) {
    counters_.connected = true;
    complained_ = false;
    Logger("xds")->info("connected to the control plane");
  }
  XdsCounters::Type* counted = Count(response);
  Logger("xds")->debug("response type={} resources={} removed={}", response.type_url(),
                       response.resources_size(), response.removed_resources_size());
  DeltaClient::Outcome outcome = delta_.OnResponse(response);
  if (counted != nullptr) counted->rejected += outcome.rejected;
  if (outcome.reply && outcome.reply->has_error_detail()) {
    Logger("xds")->warn("resources refused type={} err={}", response.type_url(),
                        Quoted(outcome.reply->error_detail().message()));
  }
  Save(outcome.accepted);
  Save(outcome.ended);
  if (Changes(outcome.accepted) || Changes(outcome.ended)) on_publish_(store_.Publish());
  if (outcome.reply) stream_->Send(*std::move(outcome.reply));
  for (Request& next : outcome.next) stream_->Send(std::move(next));
  stream_->ReadNext();
  Wake(outcome.arrived);
  CheckReady();
}

void XdsClient::OnClosed(const absl::Status& status) {
  stream_.reset();
  delta_.Close();
  counters_.connected = false;
  const Termination why = status.ok()            ? Termination::kComplete
                          : EndsPolitely(status) ? Termination::kReconnect
                          : served_              ? Termination::kError
                                                 : Termination::kConnectionError;
  ++counters_.terminations[static_cast<size_t>(why)];
  const absl::Duration delay = backoff_.Next(status, served_);
  const bool news = !std::exchange(complained_, true);
  Logger("xds")->log(news && !status.ok() ? spdlog::level::warn : spdlog::level::debug,
                     "control plane away, the last state stays in force retry_in={} err={}",
                     absl::FormatDuration(delay), Quoted(Describe(status)));
  ScheduleConnect(delay);
}

XdsCounters::Type* XdsClient::Count(const Response& response) {
  for (XdsCounters::Type& type : counters_.types) {
    if (type.url != response.type_url()) continue;
    ++type.messages;
    type.bytes += response.ByteSizeLong();
    return &type;
  }
  return nullptr;
}

void XdsClient::CheckReady() {
  if (ready_ || !delta_.Ready()) return;
  ready_ = true;
  loop_.CancelTimer(std::exchange(copy_timer_, 0));
  on_publish_(store_.Publish());
  for (const auto& ready : std::exchange(when_ready_, {})) ready();
}

// While the control plane does not answer, what it said in an earlier run is better than nothing.
void XdsClient::TakeCopy() {
  copy_timer_ = 0;
  if (ready_) return;
  if (counters_.connected) {  // it does answer, if not all yet
    copy_timer_ = loop_.After(options_.copy_after, [this] { TakeCopy(); });
    return;
  }
  auto copy = journal_.Load();
  if (!copy.ok()) {
    Logger("xds")->info("no copy of the configuration to start from err={}",
                        Quoted(Describe(copy.status())));
    return;
  }
  journal_open_ = journal_complete_ = true;
  size_t taken = 0;
  for (const Response& response : *copy) {
    for (const Resource& resource : response.resources()) {
      if (!sink_.Upsert(response.type_url(), resource).ok()) continue;
      delta_.Restore(response.type_url(), resource.name(), resource.version());
      ++taken;
    }
  }
  delta_.RestoreDone();
  Logger("xds")->warn("control plane does not answer, started from the copy resources={} path={}",
                      taken, options_.copy_path);
  on_publish_(store_.Publish());
  CheckReady();
}

void XdsClient::Save(const Response& accepted) {
  absl::Status status;
  if (!std::exchange(journal_open_, true)) status = journal_.Begin();
  if (status.ok()) status = journal_.Append(accepted);
  if (status.ok() && !journal_complete_ && delta_.Ready()) {
    journal_complete_ = true;
    status = journal_.Commit();
  }
  if (!status.ok()) {
    Logger("xds")->error("the copy of the configuration is not kept up to date any more err={}",
                         Quoted(Describe(status)));
  }
}

void XdsClient::Finish(Waiter waiter, bool answered) {
  waiter.loop->Post([done = std::move(waiter.done), answered] { done(answered); });
}

void XdsClient::DemandAddress(std::string name, base::EventLoop& loop, OnDemanded done) {
  Waiter waiter{&loop, std::move(done), 0};
  if (!options_.on_demand) return Finish(std::move(waiter), true);
  loop_.Post([self = self_, name = std::move(name), waiter = std::move(waiter)] {
    if (*self == nullptr) return Finish(waiter, false);
    (*self)->Demand(name, waiter);
  });
}

void XdsClient::Demand(const std::string& name, Waiter waiter) {
  if (counters_.demands_waiting >= kMaxWaiters) {
    ++counters_.demands_given_up;
    return Finish(std::move(waiter), false);
  }
  std::vector<Request> requests;
  const DeltaClient::Demanded result = delta_.Demand(name, requests);
  // Published with the next answer.
  if (const Response released = delta_.TakeReleased(); Changes(released)) Save(released);
  for (Request& request : requests) {
    if (stream_) stream_->Send(std::move(request));
  }
  if (result == DeltaClient::Demanded::kAnswered) return Finish(std::move(waiter), true);
  ++counters_.demands;
  waiter.id = ++last_waiter_;
  loop_.After(options_.demand_timeout, [self = self_, name, id = waiter.id] {
    if (*self != nullptr) (*self)->TimeOut(name, id);
  });
  waiting_[name].push_back(std::move(waiter));
  ++counters_.demands_waiting;
}

void XdsClient::Wake(const std::vector<std::string>& names) {
  if (waiting_.empty()) return;
  for (const std::string& name : names) {
    const auto it = waiting_.find(name);
    if (it == waiting_.end()) continue;
    std::vector<Waiter> waiters = std::move(it->second);
    waiting_.erase(it);
    counters_.demands_waiting -= waiters.size();
    for (Waiter& waiter : waiters) Finish(std::move(waiter), true);
  }
}

void XdsClient::TimeOut(const std::string& name, uint64_t id) {
  const auto it = waiting_.find(name);
  if (it == waiting_.end()) return;
  const auto waiter = std::find_if(it->second.begin(), it->second.end(),
                                   [&](const Waiter& w) { return w.id == id; });
  if (waiter == it->second.end()) return;
  Finish(std::move(*waiter), false);
  it->second.erase(waiter);
  --counters_.demands_waiting;
  ++counters_.demands_given_up;
  if (it->second.empty()) waiting_.erase(it);
}

}  // namespace mesh::xds
