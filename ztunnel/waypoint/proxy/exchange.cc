#include "ztunnel/waypoint/proxy/exchange.h"

#include <absl/random/random.h>

#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/filter/trace.h"
#include "ztunnel/waypoint/http/local_reply.h"
#include "ztunnel/waypoint/http/path.h"
#include "ztunnel/waypoint/lb/build.h"
#include "ztunnel/waypoint/lb/choose.h"
#include "ztunnel/waypoint/lb/outlier.h"
#include "ztunnel/waypoint/proxy/defaults.h"
#include "ztunnel/waypoint/proxy/mirror.h"
#include "ztunnel/waypoint/proxy/report.h"

namespace mesh::waypoint {
namespace {

using http::StreamError;

uint64_t Random(Core& core) { return absl::Uniform<uint64_t>(core.random); }

filter::PeerView PeerViewOf(const Client& client) {
  if (!client.identity) return {};
  return {client.principal, client.identity->trust_domain, client.identity->ns,
          client.identity->service_account};
}

// How a stream that ended without an answer looks to the client and in the log.
struct FailureWords {
  uint16_t status = 503;
  route::FlagSet flag = 0;
  const char* reason = "";
};
FailureWords WordsFor(StreamError error) {
  switch (error) {
    case StreamError::kConnectFailure:
      return {503, route::kUpstreamConnectFailure, "connection failure"};
    case StreamError::kOverload:
      return {503, route::kUpstreamOverflow, "overflow"};
    case StreamError::kProtocol:
      return {502, route::kUpstreamProtocol, "protocol error"};
    case StreamError::kRefused:
      return {503, route::kUpstreamReset, "remote refused stream reset"};
    case StreamError::kTimeout:
      return {504, route::kUpstreamTimeout, "timeout"};
    default:
      return {503, route::kUpstreamTermination, "connection termination"};
  }
}

}  // namespace

Exchange::Exchange(Core& core, SceneRef scene, http::ServerStream& down, http::RequestHead head,
                   bool end)
    : core_(core),
      scene_(std::move(scene)),
      down_(&down),
      head_(std::move(head)),
      start_(absl::Now()),
      changed_(core.loop),
      last_active_(core.loop.Now()),
      request_ended_(end) {
  ++core_.streams;
  if (end) request_ended_at_ = core_.loop.Now();
}

Exchange::~Exchange() {
  attempt_.reset();
  if (holds_retry_) cluster_->stats().retries.fetch_sub(1, std::memory_order_relaxed);
  if (down_ != nullptr) {
    down_->Reset(StreamError::kLocal);
    down_->Detach();
  }
  --core_.streams;
}

// ---- Run

base::Task<void> Exchange::Run() {
  // The codec that delivered this request must have returned first.
  co_await base::Yield(core_.loop);
  if (!down_closed_) co_await Answer();
  // What was answered must have gone, and what streams must have ended.
  while (!down_closed_) {
    changed_.Clear();
    const absl::Time idle_since = last_active_;
    const absl::Time deadline = Deadline();
    const absl::Time idle_end = idle_since + core_.options.stream_idle_timeout;
    if (co_await changed_.Wait(std::min(deadline, idle_end) - core_.loop.Now())) continue;
    if (core_.loop.Now() < deadline && last_active_ > idle_since) continue;
    flags_ |= route::kUpstreamTimeout;
    details_ = core_.loop.Now() >= deadline ? "response_timeout" : "stream_idle_timeout";
    attempt_.reset();
    down_->Reset(StreamError::kTimeout);
    down_->Detach();  // the peer may never take the reset
    down_ = nullptr;
    down_closed_ = true;
  }
  attempt_.reset();
  Report();
}

base::Task<void> Exchange::Answer() {
  if (core_.streams > core_.options.max_streams) {
    flags_ |= route::kOverload;
    SendLocal(503,
              "upstream connect error or disconnect/reset before headers. reset reason: overflow",
              "overload");
    co_return;
  }
  if (!Admit()) co_return;
  const Frontend* frontend = scene_->target.frontend.get();
  const bool configured = frontend != nullptr && !frontend->routes->routes().empty();
  if (configured) {
    route_ = frontend->routes->Find(View());
    if (route_ == nullptr) {
      flags_ |= route::kNoRoute;
      SendLocal(404, "", "route_not_found");
      co_return;
    }
    if (route_->cors) {
      route::CorsDecision cors = route::CheckCors(*route_->cors, View());
      cors_origin_allowed_ = cors.origin_allowed;
      if (cors.answer) {
        SendLocalHead(*std::move(cors.answer), "", "cors_preflight");
        co_return;
      }
    }
    if (route_->fault && !co_await Inject(*route_)) co_return;
    if (const auto* redirect = std::get_if<route::Redirect>(&route_->action)) {
      SendLocalHead(route::RedirectResponse(*route_, *redirect, View(), scene_->target.port), "",
                    "direct_response");
      co_return;
    }
    if (const auto* direct = std::get_if<route::DirectResponse>(&route_->action)) {
      http::LocalReply reply = http::MakeLocalReply(head_.headers, direct->status,
                                                    direct->body != nullptr ? *direct->body : "");
      SendLocalHead(std::move(reply.head), reply.body, "direct_response");
      co_return;
    }
  }
  co_await Forward(route_);
}

// Paths are normalised before policy and routes see them; policy comes before routes.
bool Exchange::Admit() {
  if (!http::NormalizePath(core_.options.path_normalization, head_.path)) {
    SendLocal(400, "", "path_normalization_failed");
    return false;
  }
  std::string id(head_.headers.Find("x-request-id").value_or(""));
  if (id.empty()) {
    head_.headers.Set("x-request-id", filter::MakeRequestId(Random(core_), Random(core_)));
  }
  const Frontend* frontend = scene_->target.frontend.get();
  if (frontend == nullptr) return true;
  if (frontend->tokens != nullptr && !route::IsPreflight(View()) &&
      !Authenticated(*frontend->tokens)) {
    return false;
  }
  return frontend->policies->empty() || Permitted(*frontend->policies, 0);
}

// Whether the tokens of the request, if it has some, are believed; if not, it is answered.
bool Exchange::Authenticated(const filter::JwtRules& rules) {
  filter::JwtVerdict verdict = filter::Authenticate(rules, head_, absl::Now());
  token_ = std::move(verdict.token);
  if (verdict.accepted) return true;
  http::LocalReply reply = http::MakeLocalReply(head_.headers, verdict.status, verdict.reason);
  reply.head.headers.Add("www-authenticate", verdict.challenge);
  SendLocalHead(std::move(reply.head), reply.body, "jwt_authn_access_denied");
  return false;
}

// Whether the policies let the request pass; if not, it is answered. `port`: of the workload.
bool Exchange::Permitted(const filter::PolicySet& policies, uint16_t port) {
  const route::RequestView view = View();
  filter::RequestAttributes attributes;
  attributes.source = PeerViewOf(scene_->client);
  attributes.source_ip = attributes.remote_ip = scene_->client.address.ip;
  attributes.destination_ip = host_ != nullptr ? host_->address.ip : scene_->target.asked.ip;
  attributes.destination_port = port != 0 ? port : scene_->target.port;
  attributes.request = &view;
  attributes.token = token_ ? &*token_ : nullptr;
  const filter::Verdict verdict = filter::Check(policies, attributes);
  if (verdict.allowed) return true;
  SendLocal(403, "RBAC: access denied", verdict.Detail());
  return false;
}

base::Task<bool> Exchange::Inject(const route::Route& route) {
  const route::FaultDecision fault = route::DecideFault(*route.fault, Random(core_), Random(core_));
  if (fault.delay) {
    flags_ |= route::kDelayInjected;
    const absl::Time until = core_.loop.Now() + *fault.delay;
    while (!down_closed_ && core_.loop.Now() < until) {
      changed_.Clear();
      co_await changed_.Wait(until - core_.loop.Now());
    }
    if (down_closed_) co_return false;
  }
  if (!fault.aborts()) co_return true;
  flags_ |= route::kFaultInjected;
  const auto grpc_status = fault.abort_grpc_status
                               ? std::optional<int>(static_cast<int>(*fault.abort_grpc_status))
                               : std::nullopt;
  SendLocal(fault.abort_status.value_or(200), "fault filter abort", "fault_filter_abort",
            grpc_status);
  co_return false;
}

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

// ---- The answer

void Exchange::SendLocal(uint16_t status, std::string_view body, std::string_view details,
                         std::optional<int> grpc_status) {
  http::LocalReply reply = http::MakeLocalReply(head_.headers, status, body, grpc_status);
  SendLocalHead(std::move(reply.head), reply.body, details);
}

void Exchange::SendLocalHead(http::ResponseHead head, std::string_view body,
                             std::string_view details) {
  if (answered_ || down_closed_) return;
  answered_ = true;
  details_ = details;
  if (route_ != nullptr) {
    if (route_->cors && cors_origin_allowed_) {
      route::AddCorsHeaders(*route_->cors, head_.headers.Find("origin").value_or(""), head.headers);
    }
    route::FinishResponse(*route_, nullptr, FactsNow(), head.headers);
  }
  status_ = head.status;
  grpc_status_ = head.headers.Find("grpc-status").value_or("");
  const bool end = body.empty() || head_.method == "HEAD";
  down_->SendHead(head, end);
  if (!end) {
    sent_ += body.size();
    down_->Write(std::as_bytes(std::span(body)));
    down_->End();
  }
  response_ = std::move(head);
  PayDown();
}

void Exchange::OnAttemptInterim(const http::ResponseHead& head) {
  if (!down_closed_ && !answered_) down_->SendInterim(head);
}

void Exchange::OnAttemptHead(http::ResponseHead head, bool end) {
  lb::ReportStatus(*cluster_, *host_, head.status, absl::Now());
  route::Outcome outcome;
  outcome.status = head.status;
  outcome.headers = &head.headers;
  outcome.headers_sent = true;
  if (retry_wanted_ || TakeRetry(outcome)) return;
  answered_ = true;
  if (head.status != 101) keeps_body_ = false;
  body_.Free();
  if (route_ != nullptr) {
    if (route_->cors && cors_origin_allowed_) {
      route::AddCorsHeaders(*route_->cors, head_.headers.Find("origin").value_or(""), head.headers);
    }
    route::FinishResponse(*route_, backend_, FactsNow(), head.headers);
  }
  status_ = head.status;
  details_ = "via_upstream";
  grpc_status_ = head.headers.Find("grpc-status").value_or("");
  if (!down_closed_) down_->SendHead(head, end);
  response_ = std::move(head);
  changed_.Set();
}

void Exchange::OnAttemptBody(std::span<const std::byte> bytes) {
  if (!answered_ || down_closed_) {  // of an answer that is thrown away
    if (http::ClientStream* stream = attempt_->stream()) stream->Consumed(bytes.size());
    return;
  }
  sent_ += bytes.size();
  owed_up_ += bytes.size();
  last_active_ = core_.loop.Now();
  down_->Write(bytes);
  PayUp();
}

void Exchange::OnAttemptTrailers(http::HeaderMap trailers) {
  if (!answered_ || down_closed_) return;
  if (const auto status = trailers.Find("grpc-status")) grpc_status_ = *status;
  down_->WriteTrailers(trailers);
}

void Exchange::OnAttemptEnd() {
  if (answered_ && !down_closed_) down_->End();
}

void Exchange::OnAttemptRoom() {
  last_active_ = core_.loop.Now();
  PayDown();
}

void Exchange::OnAttemptClosed(StreamError error) {
  changed_.Set();
  if (retry_wanted_ || down_closed_) return;
  if (!answered_) {
    FailedTry(error == StreamError::kNone ? StreamError::kReset : error, "", false);
    return;
  }
  if (error == StreamError::kNone) return;
  // In the middle of the answer: the client must not take it for the whole.
  const FailureWords words = WordsFor(error);
  flags_ |= words.flag;
  details_ = fmt::format("upstream_reset_after_response_started{{{}}}", words.reason);
  lb::ReportFailure(*cluster_, *host_, lb::LocalFailure::kReset, absl::Now());
  down_->Reset(error == StreamError::kProtocol ? StreamError::kProtocol : StreamError::kReset);
}

// ---- The client

void Exchange::OnBody(std::span<const std::byte> bytes) {
  received_ += bytes.size();
  owed_down_ += bytes.size();
  last_active_ = core_.loop.Now();
  http::ClientStream* stream = attempt_ != nullptr ? attempt_->stream() : nullptr;
  const bool streams = stream != nullptr && sending_;
  if (streams) stream->Write(bytes);
  if (!answered_ && (!streams || keeps_body_)) body_.Append(bytes);
  if (!mirrors_.empty()) {
    mirror_body_.Append(bytes);
    if (mirror_body_.size() > core_.options.retry_buffer_bytes) {
      core_.mirrors->CountDropped();
      mirrors_.clear();
      mirror_body_.Free();
    }
  }
  if (streams && keeps_body_ && body_.size() > core_.options.retry_buffer_bytes) {
    keeps_body_ = false;
    body_.Free();
  }
  PayDown();
}

void Exchange::OnTrailers(http::HeaderMap trailers) {
  trailers_ = std::move(trailers);
  request_ended_ = true;
  request_ended_at_ = core_.loop.Now();
  changed_.Set();
  MaybeMirror();
  if (sending_ && attempt_ != nullptr && attempt_->stream() != nullptr) {
    attempt_->stream()->WriteTrailers(*trailers_);
  }
}

void Exchange::OnEnd() {
  if (request_ended_) return;
  request_ended_ = true;
  request_ended_at_ = core_.loop.Now();
  changed_.Set();
  MaybeMirror();
  if (sending_ && attempt_ != nullptr && attempt_->stream() != nullptr) attempt_->stream()->End();
}

void Exchange::OnRoom() {
  last_active_ = core_.loop.Now();
  PayUp();
}

void Exchange::OnClosed(StreamError error) {
  down_closed_ = true;
  down_ = nullptr;
  down_error_ = error;
  changed_.Set();
}

// The client may send on while somebody takes it: the endpoint, the retry buffer, or nobody needs
// it.
void Exchange::PayDown() {
  if (owed_down_ == 0 || down_closed_) return;
  http::ClientStream* stream = attempt_ != nullptr && sending_ ? attempt_->stream() : nullptr;
  const bool room = stream != nullptr
                        ? stream->Room() > 0
                        : answered_ || body_.size() <= core_.options.retry_buffer_bytes;
  if (room) down_->Consumed(std::exchange(owed_down_, 0));
}

void Exchange::PayUp() {
  http::ClientStream* stream = attempt_ != nullptr ? attempt_->stream() : nullptr;
  if (owed_up_ == 0 || stream == nullptr) return;
  if (down_closed_ || down_->Room() > 0) stream->Consumed(std::exchange(owed_up_, 0));
}

// ---- What is known

absl::Time Exchange::Deadline() const {
  return timeouts_.total ? request_ended_at_ + *timeouts_.total : absl::InfiniteFuture();
}

route::RequestView Exchange::View() const {
  route::RequestView view(head_.method, head_.scheme, head_.authority, head_.path, head_.headers);
  const Client& client = scene_->client;
  if (client.identity) {
    view.source_namespace = client.identity->ns;
  } else if (client.workload != nullptr) {
    view.source_namespace = client.workload->ns;
  }
  if (client.peer != nullptr) view.source_labels = &client.peer->labels;
  return view;
}

route::Facts Exchange::FactsNow() const {
  route::Facts facts;
  facts.request = &head_;
  facts.response = response_ ? &*response_ : nullptr;
  facts.downstream_remote = facts.downstream_direct_remote = scene_->client.address;
  facts.downstream_local = scene_->target.asked;
  facts.downstream_peer = scene_->client.principal;
  if (host_ != nullptr) facts.upstream_host = host_->address;
  if (cluster_ != nullptr) facts.upstream_cluster = cluster_->name();
  facts.route_name = route_ != nullptr ? std::string_view(route_->name) : "default";
  facts.response_code_details = details_;
  facts.upstream_transport_failure_reason = failure_;
  facts.flags = flags_;
  facts.bytes_received = received_;
  facts.bytes_sent = sent_;
  facts.attempts = attempts_;
  facts.start = start_;
  return facts;
}

void Exchange::Report() {
  if (!answered_ || down_error_ == StreamError::kReset) flags_ |= route::kDownstreamTermination;
  route::Facts facts = FactsNow();
  facts.duration = absl::Now() - start_;
  ReportRequest(core_, *scene_, facts, host_, status_, grpc_status_);
}

}  // namespace mesh::waypoint
