// One request and its answer.
//
// The head goes through policy, route and fault; then the request is sent to an endpoint, again if
// the route's retry policy says so, and the first answer that is not retried goes back. Bodies
// stream both ways with the back-pressure of http/stream.h; only while a retry is possible is what
// was sent of a body kept, Options::retry_buffer_bytes at most. A request keeps the configuration
// that it began with.
//
// Owner: the task that serves it, in the worker's set. Thread: the loop's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/async/task.h"
#include "ztunnel/waypoint/proxy/attempt.h"
#include "ztunnel/waypoint/proxy/core.h"
#include "ztunnel/waypoint/proxy/scene.h"
#include "ztunnel/waypoint/route/actions.h"

namespace mesh::waypoint {

class Exchange final : public http::StreamEvents, public AttemptOwner {
 public:
  Exchange(Core& core, SceneRef scene, http::ServerStream& down, http::RequestHead head, bool end);
  ~Exchange() override;

  base::Task<void> Run();

 private:
  // ---- What the client does
  void OnBody(std::span<const std::byte> bytes) override;
  void OnTrailers(http::HeaderMap trailers) override;
  void OnEnd() override;
  void OnRoom() override;
  void OnClosed(http::StreamError error) override;

  // ---- What the endpoint does
  void OnAttemptInterim(const http::ResponseHead& head) override;
  void OnAttemptHead(http::ResponseHead head, bool end) override;
  void OnAttemptBody(std::span<const std::byte> bytes) override;
  void OnAttemptTrailers(http::HeaderMap trailers) override;
  void OnAttemptEnd() override;
  void OnAttemptRoom() override;
  void OnAttemptClosed(http::StreamError error) override;

  // ---- Steps of Run, each in its order
  base::Task<void> Answer();
  bool Admit();  // false: answered
  bool Authenticated(const filter::JwtRules& rules);
  bool Permitted(const filter::PolicySet& policies, uint16_t port);
  base::Task<bool> Inject(const route::Route& route);
  base::Task<void> Forward(const route::Route* route);
  base::Task<bool> Try(const lb::ClusterRef& cluster, const lb::Host& host);
  void TimedOut(bool per_try);
  void ChooseMirrors(const route::Forward& forward);
  void MaybeMirror();
  void StartSending();
  void FailedTry(http::StreamError error, std::string_view detail, bool per_try_timeout);
  bool BlamesHost(http::StreamError error) const;
  bool TakeRetry(const route::Outcome& outcome);
  void SendLocal(uint16_t status, std::string_view body, std::string_view details,
                 std::optional<int> grpc_status = std::nullopt);
  void SendLocalHead(http::ResponseHead head, std::string_view body, std::string_view details);
  absl::Time Deadline() const;

  void PayDown();
  void PayUp();
  route::RequestView View() const;
  route::Facts FactsNow() const;
  void Report();

  Core& core_;
  const SceneRef scene_;
  http::ServerStream* down_;
  http::RequestHead head_;
  const absl::Time start_;
  base::Event changed_;
  absl::Time last_active_;

  // The request's body as far as it came, while it may be needed again.
  net::Buffer body_;
  bool keeps_body_ = true;
  std::optional<http::HeaderMap> trailers_;
  bool request_ended_;
  absl::Time request_ended_at_ = absl::InfiniteFuture();
  // Clusters that get a copy, and the body for them as long as they do.
  std::vector<lb::ClusterRef> mirrors_;
  net::Buffer mirror_body_;
  size_t owed_down_ = 0;  // received from the client, not yet Consumed
  size_t owed_up_ = 0;
  bool down_closed_ = false;
  http::StreamError down_error_ = http::StreamError::kNone;

  std::optional<filter::Token> token_;
  const route::Route* route_ = nullptr;
  const route::Backend* backend_ = nullptr;
  lb::ClusterRef cluster_;
  const lb::Host* host_ = nullptr;
  route::RetryPlan plan_;
  route::Timeouts timeouts_;
  uint32_t attempts_ = 0;
  bool sending_ = false;  // the attempt gets the body as it comes
  bool retry_wanted_ = false;
  bool holds_retry_ = false;  // counted among the cluster's retries
  std::vector<const lb::Host*> tried_;
  std::unique_ptr<Attempt> attempt_;

  // The answer, as the client gets it.
  bool answered_ = false;
  uint16_t status_ = 0;
  bool cors_origin_allowed_ = false;
  route::FlagSet flags_ = 0;
  std::string details_;
  std::string failure_;
  uint64_t received_ = 0, sent_ = 0;
  std::string grpc_status_;
  std::optional<http::ResponseHead> response_;
};

}  // namespace mesh::waypoint
