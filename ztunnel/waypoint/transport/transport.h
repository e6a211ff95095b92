// A two-way stream of bytes below a codec: a socket, TLS on a socket, or one stream of a tunnel.
//
// Back-pressure as in http/stream.h: Consumed for all that OnBytes brought; Room() and OnRoom for
// what is sent. What was written in a turn of the loop leaves at its end in one piece. Owner: the
// connection (the codec's). Thread: the loop's. Events may call anything but the destructor.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "ztunnel/base/ip.h"
#include "ztunnel/core/identity/identity.h"

namespace mesh::transport {

class Events {
 public:
  virtual ~Events() = default;
  virtual void OnBytes(std::span<const std::byte> bytes) = 0;
  virtual void OnEnd() = 0;   // the peer sends no more; our direction goes on
  virtual void OnRoom() = 0;  // after Room() was 0
  // Last, once: reset or failed (`clean` false), or both directions ended.
  virtual void OnClosed(bool clean) = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;  // closes; resets what has not ended
  virtual void Start(Events& events) = 0;

  virtual size_t Room() const = 0;
  virtual void Write(std::span<const std::byte> bytes) = 0;
  virtual void End() = 0;  // after what was written; OnClosed follows when the peer has ended too
  virtual void Consumed(size_t bytes) = 0;
  virtual void Reset() = 0;  // OnClosed(false) comes, deferred
};

}  // namespace mesh::transport
