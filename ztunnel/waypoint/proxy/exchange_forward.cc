// The request's way to an endpoint: backend, endpoint, tries.
#include "ztunnel/waypoint/proxy/exchange.h"

#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/local_reply.h"
#include "ztunnel/waypoint/lb/choose.h"
#include "ztunnel/waypoint/lb/outlier.h"
#include "ztunnel/waypoint/proxy/defaults.h"
#include "ztunnel/waypoint/proxy/exchange_words.h"
#include "ztunnel/waypoint/proxy/mirror.h"

namespace mesh::waypoint {

using http::StreamError;

base::Task<void> Exchange::Forward(const route::Route* route) {
  const route::Forward* forward = route != nullptr ? route->forward() : nullptr;
  if (forward != nullptr) {
    backend_ = &route::ChooseBackend(*forward, Random(core_));
    cluster_ = scene_->config->FindCluster(backend_->cluster);
  } else {
    cluster_ = DefaultCluster(*scene_->config, scene_->target);
  }
  if (cluster_ == nullptr) {
    flags_ |= route::kNoCluster;
    SendLocal(backend_ != nullptr ? backend_->unknown_status : 503, "", "cluster_not_found");
    co_return;
  }
  const route::RetryPolicy* retry = forward == nullptr ? &DefaultRetryPolicy()
                                    : forward->retry   ? &*forward->retry
                                                       : nullptr;
  plan_ = route::PlanRetries(retry, head_.headers);
  timeouts_ =
      route::TimeoutsOf(forward != nullptr ? forward->timeout : std::nullopt, retry, head_.headers);
  if (plan_.attempts == 0) keeps_body_ = false;
  if (request_ended_)
    request_ended_at_ = core_.loop.Now();  // an injected delay is not the endpoint's
  if (!head_.headers.Has("x-forwarded-proto")) head_.headers.Add("x-forwarded-proto", head_.scheme);
  if (forward != nullptr) {
    route::PrepareUpstream(*route, *backend_, FactsNow(), head_);
    ChooseMirrors(*forward);
  }

  for (;;) {
    lb::ChooseInput input;
    if (retry != nullptr && retry->avoid_previous_hosts) input.tried = tried_;
    input.now = core_.loop.Now();
    host_ = lb::Choose(*cluster_, input, core_.random);
    if (host_ == nullptr) {
      flags_ |= route::kNoHealthyUpstream;
      SendLocal(503, "no healthy upstream", "no_healthy_upstream");
      co_return;
    }
    const Peer* peer =
        host_->workload != nullptr ? scene_->config->FindPeer(host_->workload->uid) : nullptr;
    if (peer != nullptr && peer->policies != nullptr &&
        !Permitted(*peer->policies, host_->address.port)) {
      co_return;
    }
    const uint32_t limit = cluster_->options().max_requests;
    if (limit > 0 && cluster_->stats().requests.load(std::memory_order_relaxed) >= limit) {
      cluster_->stats().request_overflow.fetch_add(1, std::memory_order_relaxed);
      FailedTry(StreamError::kOverload, "", false);
      co_return;
    }
    if (!co_await Try(cluster_, *host_)) co_return;
    const absl::Time until =
        std::min(core_.loop.Now() + route::RetryDelay(plan_.back_off(), attempts_, Random(core_)),
                 Deadline());
    while (!down_closed_ && core_.loop.Now() < until) {
      changed_.Clear();
      co_await changed_.Wait(until - core_.loop.Now());
    }
    if (down_closed_) co_return;
    if (core_.loop.Now() >= Deadline()) {
      TimedOut(false);
      co_return;
    }
  }
}

// True: again. Returns early when the answer has begun: callbacks do the rest.
base::Task<bool> Exchange::Try(const lb::ClusterRef& cluster, const lb::Host& host) {
  ++attempts_;
  tried_.push_back(&host);
  retry_wanted_ = false;
  attempt_ = std::make_unique<Attempt>(core_, *this, cluster, host, changed_);
  const bool no_body = request_ended_ && body_.empty() && !trailers_;
  const bool http2 = SpeaksHttp2(cluster->options(), scene_->target, head_);
  attempt_->Open(http2, head_, no_body);
  const absl::Time opened = last_active_ = core_.loop.Now();
  sending_ = false;
  bool begun = false;
  for (;;) {
    if (down_closed_) co_return false;
    if (!begun && attempt_ != nullptr && attempt_->settled()) {
      begun = true;
      if (attempt_->result().stream != nullptr) {
        if (!no_body) StartSending();
      } else {
        FailedTry(attempt_->result().error, attempt_->result().detail, false);
      }
    }
    if (retry_wanted_) {
      attempt_.reset();
      co_return true;
    }
    if (answered_) co_return false;
    changed_.Clear();
    // From when the request was complete: an upload is the client's time.
    const absl::Time try_deadline = timeouts_.per_try && request_ended_
                                        ? std::max(opened, request_ended_at_) + *timeouts_.per_try
                                        : absl::InfiniteFuture();
    const absl::Time deadline = std::min(try_deadline, Deadline());
    const absl::Time idle_end = last_active_ + core_.options.stream_idle_timeout;
    if (co_await changed_.Wait(std::min(deadline, idle_end) - core_.loop.Now())) continue;
    if (core_.loop.Now() >= deadline) {
      TimedOut(try_deadline < Deadline());
    } else if (core_.loop.Now() >= last_active_ + core_.options.stream_idle_timeout) {
      attempt_.reset();
      SendLocal(request_ended_ ? 504 : 408, "stream timeout", "stream_idle_timeout");
    }
  }
}

void Exchange::TimedOut(bool per_try) {
  // Who was never asked is not late.
  if (attempt_ != nullptr && attempt_->sent()) {
    lb::ReportFailure(*cluster_, *host_, lb::LocalFailure::kTimeout, absl::Now());
  }
  if (per_try) {
    FailedTry(StreamError::kTimeout, "upstream_per_try_timeout", true);
    return;
  }
  attempt_.reset();
  flags_ |= route::kUpstreamTimeout;
  SendLocal(504, "upstream request timeout", "response_timeout");
}

void Exchange::ChooseMirrors(const route::Forward& forward) {
  for (const route::Mirror& mirror : forward.mirrors) {
    if (!mirror.share.Takes(Random(core_))) continue;
    if (lb::ClusterRef cluster = scene_->config->FindCluster(mirror.cluster)) {
      mirrors_.push_back(std::move(cluster));
    }
  }
  if (mirrors_.empty()) return;
  mirror_body_.Append(body_.data());
  MaybeMirror();
}

// Once the request has been read whole.
void Exchange::MaybeMirror() {
  if (!request_ended_ || mirrors_.empty()) return;
  for (lb::ClusterRef& cluster : std::exchange(mirrors_, {})) {
    MirrorRequest copy{std::move(cluster), head_, {}, trailers_};
    copy.head.authority = route::ShadowAuthority(head_.authority);
    copy.body.Append(mirror_body_.data());
    core_.mirrors->Send(std::move(copy));
  }
  mirror_body_.Free();
}

// What of the body is here goes out, the rest follows as it comes.
void Exchange::StartSending() {
  http::ClientStream* stream = attempt_->stream();
  if (stream == nullptr) return;
  sending_ = true;
  if (!body_.empty()) stream->Write(body_.data());
  keeps_body_ = keeps_body_ && body_.size() <= core_.options.retry_buffer_bytes;
  if (!keeps_body_) body_.Free();
  if (trailers_) {
    stream->WriteTrailers(*trailers_);
  } else if (request_ended_) {
    stream->End();
  }
  PayDown();
}

// Whether a failure is the endpoint's: not our certificate's, our limits', or a name's.
bool Exchange::BlamesHost(StreamError error) const {
  if (error != StreamError::kConnectFailure || attempt_ == nullptr) return true;
  switch (attempt_->result().reason) {
    case MESH_REASON_NO_CERTIFICATE:
    case MESH_REASON_LIMIT:
    case MESH_REASON_L7_NOT_ENFORCEABLE:
    case MESH_REASON_NO_HEALTHY_ENDPOINT:
      return false;
    default:
      return true;
  }
}

// The attempt ended without an answer, or none was made.
void Exchange::FailedTry(StreamError error, std::string_view detail, bool per_try_timeout) {
  route::Outcome outcome;
  outcome.error = error;
  outcome.per_try_timeout = per_try_timeout;
  outcome.headers_sent = attempt_ != nullptr && attempt_->sent();
  if (!per_try_timeout && error != StreamError::kOverload && BlamesHost(error)) {
    lb::ReportFailure(*cluster_, *host_,
                      error == StreamError::kConnectFailure ? lb::LocalFailure::kConnect
                                                            : lb::LocalFailure::kReset,
                      absl::Now());
  }
  failure_ = detail;  // which may be the attempt's own, and go with it
  if (error != StreamError::kOverload && TakeRetry(outcome)) return;
  attempt_.reset();
  const FailureWords words = WordsFor(error);
  flags_ |= words.flag;
  if (per_try_timeout) {
    SendLocal(504, "upstream request timeout", "upstream_per_try_timeout");
    return;
  }
  std::string body = fmt::format(
      "upstream connect error or disconnect/reset before headers. reset reason: {}", words.reason);
  if (!failure_.empty()) body += fmt::format(", transport failure reason: {}", failure_);
  http::LocalReply reply = http::MakeLocalReply(head_.headers, words.status, body);
  if (error == StreamError::kOverload) reply.head.headers.Add("x-envoy-overloaded", "true");
  SendLocalHead(std::move(reply.head), reply.body,
                fmt::format("upstream_reset_before_response_started{{{}}}", words.reason));
}

// Whether the outcome is tried again; then a slot among the cluster's retries is held.
bool Exchange::TakeRetry(const route::Outcome& outcome) {
  if (answered_ || plan_.attempts == 0 || !route::Retriable(plan_, outcome)) return false;
  if (!keeps_body_) return false;  // what was sent of the body is gone
  if (core_.loop.Now() >= Deadline()) return false;
  if (attempts_ > plan_.attempts) {
    flags_ |= route::kUpstreamRetryLimit;
    return false;
  }
  if (!holds_retry_ && !AdmitsRetry(*cluster_)) {
    cluster_->stats().retry_overflow.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (!holds_retry_) cluster_->stats().retries.fetch_add(1, std::memory_order_relaxed);
  holds_retry_ = true;
  retry_wanted_ = true;
  changed_.Set();
  return true;
}

}  // namespace mesh::waypoint
