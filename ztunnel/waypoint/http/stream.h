// One exchange of messages on a connection, whatever the version of HTTP: the contract between
// codecs and who handles requests.
//
// A server connection makes a ServerStream for each request and hands it to its ServerVisitor; a
// client connection gives a ClientStream for a request. Both directions of a body run by counts:
// who receives says Consumed for every byte that OnBody brought, and the peer is slowed down by
// what was not; who sends looks at Room() and stops at 0 until OnRoom. Write beyond Room is taken
// (a chunk is never split for the sender), so what waits is bounded by Room plus one chunk.
//
// Order of events: (client: OnInterim*, OnHead) OnBody* (OnTrailers | OnEnd), and last, exactly
// once, OnClosed, also when the handler itself called Reset. After Detach there is none. Thread:
// the loop's. Spans and heads given to events are valid until the callback returns, heads may be
// moved from. Events may call anything of the stream, and may destroy nothing of the connection; a
// handler lives until OnClosed or Detach.
#pragma once

#include <absl/time/time.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "ztunnel/waypoint/http/message.h"

namespace mesh::http {

// Why a stream ended early.
enum class StreamError : uint8_t {
  kNone,            // both directions ended as HTTP wants it
  kReset,           // the peer reset the stream or the connection, or closed it too early
  kRefused,         // HTTP/2 REFUSED_STREAM or a GOAWAY that excludes it: nothing was done
  kProtocol,        // the peer broke the protocol
  kConnectFailure,  // the connection was never there
  kOverload,        // a limit of ours
  kTimeout,         // a time limit of the connection
  kLocal,           // we reset it
  kDrained,         // the connection went away by our own wish
};

class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  virtual void OnBody(std::span<const std::byte> bytes) = 0;
  virtual void OnTrailers(HeaderMap trailers) = 0;  // the end, too
  virtual void OnEnd() = 0;
  virtual void OnRoom() = 0;
  virtual void OnClosed(StreamError error) = 0;
};

class Stream {
 public:
  virtual ~Stream() = default;
  virtual size_t Room() const = 0;
  virtual void Write(std::span<const std::byte> bytes) = 0;
  virtual void WriteTrailers(const HeaderMap& trailers) = 0;  // the end, too
  virtual void End() = 0;
  virtual void Consumed(size_t bytes) = 0;
  // The peer is told by RST_STREAM, or by a connection that breaks off. OnClosed comes, deferred.
  virtual void Reset(StreamError why) = 0;
  virtual void Detach() = 0;
};

// ---- Servers

class ServerStream : public Stream {
 public:
  virtual void SendInterim(const ResponseHead& head) = 0;  // 100 to 199, not 101
  // `end`: no body. 101 to an upgrade: the body is what follows.
  virtual void SendHead(const ResponseHead& head, bool end) = 0;
};

class ServerVisitor {
 public:
  virtual ~ServerVisitor() = default;
  // `end`: the request has no body. The answer hears of the stream from now on. Never null.
  virtual StreamEvents* OnRequest(ServerStream& stream, RequestHead head, bool end) = 0;
  // A request that could not be read is answered by the codec itself (400, 413, 431, 501, 505) and
  // told here for the log.
  virtual void OnBadRequest(uint16_t status, std::string_view detail) = 0;
  // No stream is left and none will come; the connection may be destroyed, later (Defer).
  virtual void OnConnectionClosed() = 0;
};

class ServerConnection {
 public:
  virtual ~ServerConnection() = default;  // a stream that is left hears OnClosed(kLocal)
  virtual size_t streams() const = 0;
  // Ends in good order: what is in progress is finished, the peer is told to go elsewhere, then
  // OnConnectionClosed comes.
  virtual void Drain() = 0;
};

// ---- Clients

class ClientEvents : public StreamEvents {
 public:
  virtual void OnInterim(const ResponseHead& head) = 0;  // 100 to 199, not 101
  virtual void OnHead(ResponseHead head, bool end) = 0;
};

class ClientStream : public Stream {
 public:
  // Whether any byte of the request has left for the peer.
  virtual bool Sent() const = 0;
};

class ClientConnection {
 public:
  virtual ~ClientConnection() = default;
  // How many more requests it takes now: of HTTP/1 one at a time; 0 while it goes away.
  virtual size_t Capacity() const = 0;
  // The stream is the connection's own, valid until OnClosed or Detach. `end`: no body. `head` is
  // written out before it returns.
  virtual ClientStream* Request(const RequestHead& head, bool end, ClientEvents& events) = 0;
  virtual size_t streams() const = 0;
  // No new requests; closes when the last has ended.
  virtual void Drain() = 0;
};

class ClientConnectionVisitor {
 public:
  virtual ~ClientConnectionVisitor() = default;
  virtual void OnCapacity() = 0;          // Capacity() grew, or fell to 0 for good
  virtual void OnConnectionClosed() = 0;  // may be destroyed, later (Defer)
};

// What a codec does at its limits; each has its metric and its answer.
struct Limits {
  size_t head_bytes = 60 << 10;           // request: 431; response: 502 (kProtocol)
  size_t head_fields = 100;               // the same
  size_t line_bytes = 32 << 10;           // request line: 414
  size_t trailer_bytes = 8 << 10;         // kProtocol
  size_t buffered_bytes = 256 << 10;      // Room() of an empty stream; received and not Consumed
  uint32_t max_concurrent_streams = 100;  // HTTP/2 server
  // Without a stream for that long: the connection closes, silently.
  absl::Duration idle_timeout = absl::Hours(1);
  // HTTP/1 server: from the first byte of a head to its last: 408. The rest of a body whose answer
  // is complete has that long, too.
  absl::Duration head_timeout = absl::Seconds(60);
  // HTTP/1 server: how long a connection that drains waits for one more request, which is told
  // `Connection: close`, before it closes without having said so.
  absl::Duration drain_idle_timeout = absl::Seconds(1);
  // HTTP/1: how long a peer that was told of the end has time to take in the last answer and end,
  // too; then it is reset.
  absl::Duration linger_timeout = absl::Seconds(30);
};

}  // namespace mesh::http
