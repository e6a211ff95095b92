// One try to have a request answered by one endpoint: the upstream half of an Exchange.
//
// Counts as an active request of the cluster and of the endpoint for as long as it lives. Events of
// its stream go to the owner until Abandon.
#pragma once

#include <optional>
#include <string>

#include "ztunnel/base/async/task_set.h"
#include "ztunnel/waypoint/proxy/core.h"
#include "ztunnel/waypoint/proxy/upstream_pool.h"

namespace mesh::waypoint {

class AttemptOwner {
 public:
  virtual ~AttemptOwner() = default;
  virtual void OnAttemptInterim(const http::ResponseHead& head) = 0;
  virtual void OnAttemptHead(http::ResponseHead head, bool end) = 0;
  virtual void OnAttemptBody(std::span<const std::byte> bytes) = 0;
  virtual void OnAttemptTrailers(http::HeaderMap trailers) = 0;
  virtual void OnAttemptEnd() = 0;
  virtual void OnAttemptRoom() = 0;
  virtual void OnAttemptClosed(http::StreamError error) = 0;
};

class Attempt final : public http::ClientEvents {
 public:
  // `settled` is set when there is a stream, or none will come.
  Attempt(Core& core, AttemptOwner& owner, lb::ClusterRef cluster, const lb::Host& host,
          base::Event& settled);
  ~Attempt() override;

  // At once where a connection is free; else the task that waits for one lives in this object.
  void Open(bool http2, const http::RequestHead& head, bool end);
  bool settled() const { return settled_; }
  const OpenResult& result() const { return result_; }
  // Null before there is one, and after it closed.
  http::ClientStream* stream() { return stream_; }
  bool sent() const { return sent_ || (stream_ != nullptr && stream_->Sent()); }

 private:
  base::Task<void> WaitForStream(bool http2, const http::RequestHead& head, bool end);
  void Settle(OpenResult result);

  void OnInterim(const http::ResponseHead& head) override { owner_.OnAttemptInterim(head); }
  void OnHead(http::ResponseHead head, bool end) override {
    owner_.OnAttemptHead(std::move(head), end);
  }
  void OnBody(std::span<const std::byte> bytes) override { owner_.OnAttemptBody(bytes); }
  void OnTrailers(http::HeaderMap trailers) override {
    owner_.OnAttemptTrailers(std::move(trailers));
  }
  void OnEnd() override { owner_.OnAttemptEnd(); }
  void OnRoom() override { owner_.OnAttemptRoom(); }
  void OnClosed(http::StreamError error) override;

  Core& core_;
  AttemptOwner& owner_;
  const lb::ClusterRef cluster_;
  const lb::Host& host_;
  base::Event& event_;
  OpenResult result_;
  http::ClientStream* stream_ = nullptr;
  bool settled_ = false;
  bool sent_ = false;
  base::TaskSet waiting_;
};

}  // namespace mesh::waypoint
