// Streams over gRPC. gRPC's threads end here: each of their callbacks becomes one Post to the loop.
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "proto/discovery.grpc.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/xds/transport.h"

namespace mesh::xds {
namespace {

using Service = envoy::service::discovery::v3::AggregatedDiscoveryService;

class GrpcStream;

// Whether the stream is still there, asked on the loop's thread only.
struct Link {
  GrpcStream* stream;
};

class GrpcStream final : public Stream, public grpc::ClientBidiReactor<Request, Response> {
 public:
  GrpcStream(base::EventLoop& loop, StreamListener& listener,
             std::shared_ptr<grpc::Channel> channel)
      : loop_(loop),
        listener_(listener),
        channel_(std::move(channel)),
        stub_(Service::NewStub(channel_)),
        link_(std::make_shared<Link>(Link{this})) {}

  ~GrpcStream() override {
    link_->stream = nullptr;
    context_.TryCancel();
    LetGo();
    std::unique_lock lock(mutex_);
    done_changed_.wait(lock, [this] { return done_; });
  }

  grpc::ClientContext& context() { return context_; }

  void Start() {
    stub_->async()->DeltaAggregatedResources(&context_, this);
    AddHold();  // operations are started by the loop, not from within callbacks
    StartRead(&response_);
    StartCall();
  }

  void Send(Request request) override {
    if (over_) return;
    outgoing_.push_back(std::move(request));
    if (outgoing_.size() == 1) StartWrite(&outgoing_.front());
  }

  void ReadNext() override {
    if (!over_) StartRead(&response_);
  }

  // gRPC's threads.
  void OnReadDone(bool ok) override {
    loop_.Post([link = link_, ok] {
      if (link->stream != nullptr) link->stream->Read(ok);
    });
  }
  void OnWriteDone(bool ok) override {
    loop_.Post([link = link_, ok] {
      if (link->stream != nullptr) link->stream->Wrote(ok);
    });
  }
  void OnDone(const grpc::Status& status) override {
    loop_.Post([link = link_, result = identity::FromGrpc(status)] {
      if (link->stream != nullptr) link->stream->listener_.OnClosed(result);
    });
    // Under the lock: the destructor must not go on before this thread has left the object.
    std::lock_guard lock(mutex_);
    done_ = true;
    done_changed_.notify_all();
  }

 private:
  void Read(bool ok) {
    if (!ok) return LetGo();
    listener_.OnMessage(std::move(response_));
  }
  void Wrote(bool ok) {
    if (!ok || over_) return;  // the read fails too, and ends the stream
    outgoing_.pop_front();
    if (!outgoing_.empty()) StartWrite(&outgoing_.front());
  }
  // No more operations; OnDone comes when those in flight have ended.
  void LetGo() {
    if (std::exchange(over_, true)) return;
    RemoveHold();
  }

  base::EventLoop& loop_;
  StreamListener& listener_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<Service::Stub> stub_;
  const std::shared_ptr<Link> link_;
  grpc::ClientContext context_;
  Response response_;
  std::deque<Request> outgoing_;  // the front is being written
  bool over_ = false;
  std::mutex mutex_;
  std::condition_variable done_changed_;
  bool done_ = false;
};

class GrpcTransport : public Transport {
 public:
  GrpcTransport(base::EventLoop& loop, identity::ControlPlane plane)
      : loop_(loop), plane_(std::move(plane)) {}

  absl::StatusOr<std::unique_ptr<Stream>> Open(StreamListener& listener) override {
    // A new channel each time: roots are read again, and nothing of the old connection is left.
    ASSIGN_OR_RETURN(auto channel, identity::OpenChannel(plane_));
    ASSIGN_OR_RETURN(const auto metadata, identity::CallMetadata(plane_));
    auto stream = std::make_unique<GrpcStream>(loop_, listener, std::move(channel));
    for (const auto& [name, value] : metadata) stream->context().AddMetadata(name, value);
    stream->Start();
    return std::unique_ptr<Stream>(std::move(stream));
  }

 private:
  base::EventLoop& loop_;
  const identity::ControlPlane plane_;
};

}  // namespace

std::unique_ptr<Transport> MakeGrpcTransport(base::EventLoop& loop, identity::ControlPlane plane) {
  return std::make_unique<GrpcTransport>(loop, std::move(plane));
}

}  // namespace mesh::xds
