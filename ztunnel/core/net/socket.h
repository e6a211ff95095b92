// A TCP socket, non-blocking and without Nagle by construction.
//
// Owner: one connection. Closing follows TCP: destroying it with unread data resets. Reset() resets
// always, so that the peer sees what happened to the other side.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::net {

struct IoResult {
  enum class Kind { kDone, kBlocked, kEnd, kError };
  Kind kind = Kind::kDone;
  size_t bytes = 0;  // of kDone
  int error = 0;     // errno of kError
};

struct SocketOptions {
  bool keepalive = true;
  absl::Duration keepalive_time = absl::Seconds(180);
  absl::Duration keepalive_interval = absl::Seconds(180);
  int keepalive_retries = 9;
  bool user_timeout = false;
  uint32_t unsent_bytes = 0;       // TCP_NOTSENT_LOWAT; 0: no cap
  std::string congestion_control;  // empty: the system's
};

// Whether this kernel has that algorithm; empty is the system's and always fine.
absl::Status CheckCongestionControl(const std::string& name);

class Socket {
 public:
  Socket() = default;
  // Takes a connected or connecting stream socket and makes it ours.
  explicit Socket(UniqueFd fd);

  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  void Apply(const SocketOptions& options);  // best effort: none of them is needed for correctness

  // One system call each. Read: kEnd when the peer has finished. Write: kDone may be partial.
  IoResult Read(std::span<std::byte> into);
  IoResult Write(std::span<const std::byte> bytes);
  void ShutdownWrite();
  void Reset();  // RST to the peer, and closed
  void Close() { fd_.Reset(); }
  int TakeError() const;  // SO_ERROR

  std::optional<SocketAddress> LocalAddress() const;
  std::optional<SocketAddress> PeerAddress() const;
  // Where the client wanted to go before the connection was captured (SO_ORIGINAL_DST of either
  // family); nothing when it was not.
  std::optional<SocketAddress> OriginalDestination() const;

 private:
  UniqueFd fd_;
};

}  // namespace mesh::net
