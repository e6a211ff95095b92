#include "ztunnel/waypoint/proxy/exchange.h"

#include "ztunnel/waypoint/filter/trace.h"
#include "ztunnel/waypoint/http/local_reply.h"
#include "ztunnel/waypoint/http/path.h"
#include "ztunnel/waypoint/proxy/exchange_words.h"
#include "ztunnel/waypoint/proxy/report.h"

namespace mesh::waypoint {
namespace {

using http::StreamError;

filter::PeerView PeerViewOf(const Client& client) {
  if (!client.identity) return {};
  return {client.principal, client.identity->trust_domain, client.identity->ns,
          client.identity->service_account};
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
