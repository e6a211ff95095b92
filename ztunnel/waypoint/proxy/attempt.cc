#include "ztunnel/waypoint/proxy/attempt.h"

namespace mesh::waypoint {

Attempt::Attempt(Core& core, AttemptOwner& owner, lb::ClusterRef cluster, const lb::Host& host,
                 base::Event& settled)
    : core_(core), owner_(owner), cluster_(std::move(cluster)), host_(host), event_(settled) {
  cluster_->stats().requests.fetch_add(1, std::memory_order_relaxed);
  host_.stats->active_requests.fetch_add(1, std::memory_order_relaxed);
}

Attempt::~Attempt() {
  waiting_.CancelAll();
  if (stream_ != nullptr) {
    stream_->Reset(http::StreamError::kLocal);
    stream_->Detach();
  }
  host_.stats->active_requests.fetch_sub(1, std::memory_order_relaxed);
  cluster_->stats().requests.fetch_sub(1, std::memory_order_relaxed);
}

void Attempt::Open(bool http2, const http::RequestHead& head, bool end) {
  OpenResult now = core_.upstreams->OpenNow(*cluster_, host_, http2, head, end, *this);
  if (now.stream != nullptr) {
    Settle(std::move(now));
  } else {
    waiting_.Start(WaitForStream(http2, head, end));
  }
}

base::Task<void> Attempt::WaitForStream(bool http2, const http::RequestHead& head, bool end) {
  Settle(co_await core_.upstreams->Open(cluster_, host_, http2, head, end, *this));
}

void Attempt::Settle(OpenResult result) {
  result_ = std::move(result);
  stream_ = result_.stream;
  settled_ = true;
  event_.Set();
}

void Attempt::OnClosed(http::StreamError error) {
  sent_ = sent();
  stream_ = nullptr;
  owner_.OnAttemptClosed(error);
}

}  // namespace mesh::waypoint
