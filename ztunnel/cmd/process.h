// What the program asks of the system around it: descriptors, capabilities, signals.
#pragma once

#include <absl/status/status.h>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::cmd {

// Every connection of the node takes descriptors: the soft limit becomes the hard one.
void RaiseDescriptorLimit();

// Keeps what serving pods needs, for this thread and those that it will make: CAP_NET_ADMIN (marks,
// transparent sockets), CAP_NET_RAW (transparent sockets), CAP_SYS_ADMIN (entering network
// namespaces). What the process does not have stays missing.
absl::Status DropCapabilities();

// SIGTERM and SIGINT as events of a loop. To be made before any thread, which inherits the mask.
class TerminationSignals final : public base::EventHandler {
 public:
  TerminationSignals(base::EventLoop& loop, std::function<void(int signal)> on_signal);
  ~TerminationSignals() override;
  void OnEvents(uint32_t events) override;

 private:
  base::EventLoop& loop_;
  std::function<void(int)> on_signal_;
  UniqueFd fd_;
};

// What was freed stays with the process, in arenas of the C library, until it is asked back. Run
// now and then: gives it back when it has become `worth` bytes more than after the last time. Takes
// the arenas' locks one by one, for milliseconds.
class FreeMemory {
 public:
  explicit FreeMemory(size_t worth = size_t{64} << 20) : worth_(worth) {}
  bool MaybeGiveBack();

 private:
  const size_t worth_;
  size_t kept_ = 0;  // free after the last time
};

struct DescriptorUse {
  uint64_t open = 0;
  uint64_t max = 0;
};
DescriptorUse CountDescriptors();

}  // namespace mesh::cmd
