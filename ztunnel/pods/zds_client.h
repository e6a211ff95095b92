// The proxy's end of the pod protocol: connects to the node agent, says hello, and handles one
// request after the other, each acknowledged before the next is read.
//
// Owner: cmd. Thread: the main loop. Reconnects after 10 ms, doubling to 15 s, from 10 ms again
// after a session in which the agent said something. Losing the agent changes nothing for the pods.
#pragma once

#include <memory>
#include <string>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/unique_fd.h"
#include "ztunnel/pods/pod_manager.h"

namespace mesh::pods {

class ZdsClient final : public base::EventHandler {
 public:
  ZdsClient(base::EventLoop& loop, std::string socket_path, PodManager& pods);
  ~ZdsClient() override;

  void Start();
  // Takes no further pods, and says so; hears of those that go. The connection stays open, so that
  // the agent sees a live proxy that drains; when it ends, no other is made.
  void TakeNoMore();
  bool connected() const { return static_cast<bool>(fd_); }

  void OnEvents(uint32_t events) override;

 private:
  void Connect();
  absl::Status TryConnect();
  void ReadRequests();
  void Handle(Packet packet);
  void Acknowledge(uint64_t session, const absl::Status& status);
  void EndSession(const absl::Status& why);

  base::EventLoop& loop_;
  const std::string path_;
  PodManager& pods_;
  UniqueFd fd_;
  uint64_t session_ = 0;
  bool handling_ = false;  // a request waits for its acknowledgement
  bool taking_ = true;
  bool reported_ = false;  // the failure to connect is in the log
  absl::Duration backoff_;
  base::EventLoop::TimerId retry_ = 0;
  // Lets a late acknowledgement see that this object is gone.
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace mesh::pods
