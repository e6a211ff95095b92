#include "ztunnel/waypoint/proxy/mirror.h"

#include <absl/random/random.h>

#include "ztunnel/base/async/event.h"
#include "ztunnel/waypoint/lb/choose.h"
#include "ztunnel/waypoint/proxy/attempt.h"

namespace mesh::waypoint {
namespace {

// Nobody waits for it, but it must not stay for ever.
constexpr absl::Duration kPatience = absl::Minutes(1);

// Takes an answer and keeps nothing of it.
class Discard final : public AttemptOwner {
 public:
  Discard(base::Event& over, std::unique_ptr<Attempt>& attempt) : over_(over), attempt_(attempt) {}

  void OnAttemptInterim(const http::ResponseHead&) override {}
  void OnAttemptHead(http::ResponseHead, bool) override {}
  void OnAttemptBody(std::span<const std::byte> bytes) override {
    if (http::ClientStream* stream = attempt_->stream()) stream->Consumed(bytes.size());
  }
  void OnAttemptTrailers(http::HeaderMap) override {}
  void OnAttemptEnd() override {}
  void OnAttemptRoom() override {}
  void OnAttemptClosed(http::StreamError) override {
    closed_ = true;
    over_.Set();
  }
  bool closed() const { return closed_; }

 private:
  base::Event& over_;
  std::unique_ptr<Attempt>& attempt_;
  bool closed_ = false;
};

base::Task<void> SendCopy(Core& core, MirrorRequest request) {
  const lb::Host* host =
      lb::Choose(*request.cluster, {.hash = {}, .tried = {}, .now = core.loop.Now()}, core.random);
  const uint32_t limit = request.cluster->options().max_requests;
  if (host == nullptr || (limit > 0 && request.cluster->stats().requests.load() >= limit))
    co_return;
  base::Event changed(core.loop);
  std::unique_ptr<Attempt> attempt;
  Discard owner(changed, attempt);
  attempt = std::make_unique<Attempt>(core, owner, request.cluster, *host, changed);
  const bool no_body = request.body.empty() && !request.trailers;
  const bool http2 = request.cluster->options().protocol == lb::ClusterOptions::Protocol::kHttp2;
  attempt->Open(http2, request.head, no_body);
  if (!attempt->settled() && !co_await changed.Wait(kPatience)) co_return;
  http::ClientStream* stream = attempt->stream();
  if (stream == nullptr) co_return;
  if (!no_body) {
    if (!request.body.empty()) stream->Write(request.body.data());
    if (request.trailers) {
      stream->WriteTrailers(*request.trailers);
    } else {
      stream->End();
    }
  }
  while (!owner.closed()) {
    changed.Clear();
    if (!co_await changed.Wait(kPatience)) co_return;
  }
}

}  // namespace

void Mirrors::Send(MirrorRequest request) {
  if (tasks_.size() >= kMaxMirrors) {
    CountDropped();
    return;
  }
  tasks_.Start(SendCopy(core_, std::move(request)));
}

}  // namespace mesh::waypoint
