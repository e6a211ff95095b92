#include "agent/controller/xds/grpc_server.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "proto/ca.grpc.pb.h"
#include "proto/discovery.grpc.pb.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

using Request = DeltaSession::Request;
using Response = DeltaSession::Response;

// Codes of both are the same numbers.
grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()),
                      std::string(MessageOf(status)));
}

absl::StatusOr<Caller> Authenticate(const grpc::CallbackServerContext& context,
                                    const TokenReviewer& reviewer) {
  constexpr std::string_view kBearer = "Bearer ";
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find("authorization");
  if (it == metadata.end()) return Unauthenticated("no authorization metadata");
  const std::string_view value(it->second.data(), it->second.size());
  if (value.substr(0, kBearer.size()) != kBearer) return Unauthenticated("no bearer token");
  return reviewer.Review(value.substr(kBearer.size()), absl::Now());
}

// Deletes itself when gRPC is done with it, which is after Finish() alone.
class Stream : public grpc::ServerBidiReactor<Request, Response>, public DeltaStream {
 public:
  Stream(std::string id, std::string peer, CallQueue& queue, Hub& hub)
      : id_(std::move(id)), queue_(queue), hub_(hub) {
    queue_.Post([this, peer = std::move(peer)] { hub_.Open(id_, *this, peer, absl::Now()); });
  }

  void OnReadDone(bool ok) override {
    // By id: when this runs, the stream may have ended.
    queue_.Post([&hub = hub_, id = id_, ok] {
      if (ok) {
        hub.OnRequest(id, absl::Now());
      } else {
        hub.Close(id, absl::OkStatus());
      }
    });
  }
  void OnWriteDone(bool ok) override {
    queue_.Post([&hub = hub_, id = id_, ok] { hub.OnWritten(id, ok, absl::Now()); });
  }
  void OnCancel() override {
    queue_.Post([&hub = hub_, id = id_] { hub.Close(id, Cancelled("cancelled")); });
  }
  void OnDone() override { delete this; }

  const Request& request() const override { return request_; }
  void ReadNext() override {
    request_.Clear();
    StartRead(&request_);
  }
  void Write(Response response) override {
    response_ = std::move(response);
    StartWrite(&response_);
  }
  void Finish(const absl::Status& status) override {
    grpc::ServerBidiReactor<Request, Response>::Finish(ToGrpc(status));
  }

 private:
  const std::string id_;
  CallQueue& queue_;
  Hub& hub_;
  Request request_;
  Response response_;
};

class RefusedStream : public grpc::ServerBidiReactor<Request, Response> {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

class DiscoveryService
    : public envoy::service::discovery::v3::AggregatedDiscoveryService::CallbackService {
 public:
  DiscoveryService(GrpcServer::Parts parts, bool authenticate)
      : parts_(parts), authenticate_(authenticate) {}

  grpc::ServerBidiReactor<Request, Response>* DeltaAggregatedResources(
      grpc::CallbackServerContext* context) override {
    if (authenticate_) {
      const absl::StatusOr<Caller> caller = Authenticate(*context, parts_.reviewer);
      if (!caller.ok()) {
        Logger("xds")->warn("client refused peer={} err={}", context->peer(),
                            Quoted(MessageOf(caller.status())));
        return new RefusedStream(
            grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "request authenticate failure"));
      }
    }
    return new Stream(fmt::format("s{}", ++streams_), context->peer(), parts_.queue, parts_.hub);
  }

 private:
  GrpcServer::Parts parts_;
  const bool authenticate_;
  std::atomic<uint64_t> streams_ = 0;
};

// Calls of each node that wait for the controller's thread, so that one node cannot hold up the
// others. Any thread.
class WaitingCalls {
 public:
  static constexpr int kPerNode = 32;  // a node proxy makes 8 at once

  bool Enter(const std::string& node) {
    const std::lock_guard lock(mutex_);
    int& calls = calls_[node];
    if (calls >= kPerNode) return false;
    ++calls;
    return true;
  }
  void Leave(const std::string& node) {
    const std::lock_guard lock(mutex_);
    const auto it = calls_.find(node);
    if (--it->second == 0) calls_.erase(it);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, int> calls_;
};

class CertificateService : public istio::v1::auth::IstioCertificateService::CallbackService {
 public:
  explicit CertificateService(GrpcServer::Parts parts) : parts_(parts) {}

  grpc::ServerUnaryReactor* CreateCertificate(
      grpc::CallbackServerContext* context, const istio::v1::auth::IstioCertificateRequest* request,
      istio::v1::auth::IstioCertificateResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const absl::StatusOr<Caller> caller = Authenticate(*context, parts_.reviewer);
    if (!caller.ok()) {
      Logger("ca")->warn("caller refused peer={} err={}", context->peer(),
                         Quoted(MessageOf(caller.status())));
      reactor->Finish(
          grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "request authenticate failure"));
      return reactor;
    }
    if (!waiting_.Enter(caller->node)) {
      reactor->Finish(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                   "too many requests of this node wait"));
      return reactor;
    }
    // Request and response live until Finish().
    parts_.queue.Post([this, reactor, request, response, caller = *caller] {
      const grpc::Status status = ToGrpc(Answer(caller, *request, *response));
      waiting_.Leave(caller.node);
      reactor->Finish(status);
    });
    return reactor;
  }

 private:
  absl::Status Answer(const Caller& caller, const istio::v1::auth::IstioCertificateRequest& request,
                      istio::v1::auth::IstioCertificateResponse& response) {
    std::string identity;
    const auto& metadata = request.metadata().fields();
    if (const auto it = metadata.find("ImpersonatedIdentity"); it != metadata.end()) {
      identity = it->second.string_value();
    }
    absl::StatusOr<IssuedCertificate> issued = parts_.signing.Handle(
        caller, request.csr(), identity, absl::Seconds(request.validity_duration()), absl::Now());
    if (!issued.ok()) return SigningService::AnswerFor(issued.status());
    for (std::string& pem : issued->chain) response.add_cert_chain(std::move(pem));
    return absl::OkStatus();
  }

  GrpcServer::Parts parts_;
  WaitingCalls waiting_;
};

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(const Options& options, Parts p)
      : parts(p), discovery(p, options.authenticate_xds), certificates(p) {}

  Parts parts;
  DiscoveryService discovery;
  CertificateService certificates;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcServer::~GrpcServer() { Shutdown(); }
int GrpcServer::port() const { return impl_->port; }

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const Options& options, Parts parts) {
  auto impl = std::make_unique<Impl>(options, parts);
  constexpr unsigned kRefreshSeconds = 5;
  const auto provider = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      options.key_file, options.certificate_file, kRefreshSeconds);
  grpc::experimental::TlsServerCredentialsOptions tls(provider);
  tls.watch_identity_key_cert_pairs();
  tls.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.address, grpc::experimental::TlsServerCredentials(tls),
                           &impl->port);
  builder.RegisterService(&impl->discovery);
  builder.RegisterService(&impl->certificates);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 15'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A client that reconnects names all that it holds, about 70 bytes each.
  builder.SetMaxReceiveMessageSize(64 << 20);
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || impl->port == 0) {
    return Unavailable("cannot listen on {}", options.address);
  }
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

void GrpcServer::Shutdown() {
  if (impl_->server == nullptr) return;
  // A stream ends by its Finish() on this thread, so this thread keeps working until gRPC is done.
  std::atomic<bool> done = false;
  std::thread ending([this, &done] {
    impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    done = true;
  });
  while (!done) {
    impl_->parts.queue.Drain();
    impl_->parts.hub.CloseAll(Unavailable("the controller is shutting down"));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ending.join();
  impl_->server.reset();
}

}  // namespace mesh::controller
