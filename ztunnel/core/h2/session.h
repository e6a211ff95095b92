// One HTTP/2 connection as a state machine without I/O: bytes in, events to the visitor and to each
// stream's handler, bytes out. It carries the CONNECT streams of a tunnel, and the messages of
// HTTP.
//
// Order for one stream: OnInterim*, OnHeaders (not for a server's stream: its headers go to
// OnRequest), OnData*, OnTrailers at most once, then OnEnd (the peer has finished; our direction
// goes on) and OnClosed, once, last, always. A handler that wants no more of it calls Detach.
// Owner: the connection. Thread: its loop. Spans given to callbacks are valid until they return.
// Callbacks may call anything but Receive, Produce and the destructor (checked). Limits: header
// block as in Options, streams as offered, resets and continuations of a flooding peer by nghttp2's
// rate limits: the connection ends with GOAWAY.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <nghttp2/nghttp2.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/core/net/buffer.h"

namespace mesh::h2 {

struct Header {
  std::string name;
  std::string value;
};
using Headers = std::vector<Header>;
// Empty when absent; the first of several.
std::string_view Find(const Headers& headers, std::string_view name);

// What streams end with. A connection that broke HTTP/2 ends its streams with kProtocolError.
enum ErrorCode : uint32_t {
  kNoError = 0x0,
  kProtocolError = 0x1,
  kInternalError = 0x2,
  kRefusedStream = 0x7,
  kCancel = 0x8,
  kConnectError = 0xa,
};

class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void OnInterim(const Headers&) {}            // 1xx before it
  virtual void OnHeaders(const Headers& headers) = 0;  // a client's response
  virtual void OnTrailers(const Headers&) {}
  virtual void OnData(std::span<const std::byte> data) = 0;
  virtual void OnEnd() = 0;
  virtual void OnClosed(uint32_t error_code) = 0;

  struct Produced {
    enum class Kind { kData, kBlocked, kEnd, kReset };
    Kind kind = Kind::kData;
    size_t bytes = 0;
    const Headers* trailers =
        nullptr;  // of kEnd: they are the end; read before Produce is called again
  };
  // Writes what is next for the peer straight into the connection's output. kBlocked: until Resume.
  // kEnd may come with bytes. kReset ends the stream with CONNECT_ERROR.
  virtual Produced Produce(std::span<std::byte> out) = 0;
};

class SessionVisitor {
 public:
  virtual ~SessionVisitor() = default;
  // A new stream at a server. The headers passed HTTP's own checks; what they ask for did not.
  // Gives who hears of the stream until OnClosed, before its answer too; null: it is already
  // answered.
  virtual StreamHandler* OnRequest(int32_t stream, Headers headers) = 0;
  virtual void OnGoAway() = 0;  // no new streams
  virtual void OnPong() = 0;
};

struct Options {
  bool server = false;
  uint32_t stream_window_bytes = 4 << 20;
  uint32_t connection_window_bytes = 16 << 20;
  uint32_t frame_bytes = 1 << 20;
  uint32_t max_concurrent_streams = 200;  // of a server
  // Largest DATA frame sent, with its header a whole number of TLS records.
  uint32_t data_frame_bytes = (256 << 10) - 9;
  uint32_t header_bytes = 0;      // of one block, received; 0: 64 KiB as server, 16 KiB as client
  uint32_t header_fields = 0;     // 0: no limit of their own
  bool extended_connect = false;  // of a server: offered (RFC 8441)
  // Messages, not tunnels: what a client still sends after the whole answer is of no use.
  bool messages = false;
  // Received bytes that handlers hold in all streams before the connection's window closes too.
  size_t buffered_bytes = 32 << 20;
  net::Budget* budget = nullptr;  // of them, over all sessions of a worker; null: none
};

class Session {
 public:
  Session(SessionVisitor& visitor, Options options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Bytes of the peer. An error is final: send what Produce gives (GOAWAY), and close.
  absl::Status Receive(std::span<const std::byte> in);
  // Appends output until there is none left or `out` holds `limit` bytes (a frame more at most).
  absl::Status Produce(net::Buffer& out, size_t limit);
  bool WantsWrite() const;
  bool Finished() const;  // GOAWAY was said and nothing is left to do
  // Not OK once Produce has said GOAWAY for what the peer got wrong.
  const absl::Status& failure() const { return failure_; }
  // Its part of the budget is used up: Receive nothing for now. What was taken since opens it
  // again.
  bool Full() const { return hold_.Full(); }

  // Client. The stream's id; kUnavailable when the connection takes no more.
  // `handler` lives until OnClosed or Detach.
  // `end`: the request has no body, Produce is not called.
  absl::StatusOr<int32_t> Request(const Headers& headers, StreamHandler& handler, bool end = false);
  // Server. 1xx, before the answer.
  void Inform(int32_t stream, const Headers& headers);
  // Server. Opens the way from the handler to the peer.
  void Respond(int32_t stream, const Headers& headers);
  // Server. An answer without a body; the stream is over on our side.
  void RespondAndEnd(int32_t stream, const Headers& headers);

  // Whether the headers of a request or an answer, just told, were all of it.
  bool HeadersEnded(int32_t stream) const;
  bool PeerTakesExtendedConnect() const;

  void Resume(int32_t stream);                  // Produce has something again
  void Consumed(int32_t stream, size_t bytes);  // OnData's bytes have gone on: opens the window
  void Reset(int32_t stream, uint32_t error_code);
  void Detach(int32_t stream);  // no more callbacks for it

  void Ping();
  // Server: no new streams, those in progress go on. First a notice, and once that has had time to
  // arrive (the caller's to wait) the last word, so that no request in flight is lost.
  void GoAwayNotice();
  void GoAway();
  // The connection is gone: every stream's OnClosed runs with `error_code`.
  void Abandon(uint32_t error_code);

  size_t streams() const { return streams_.size(); }
  uint32_t peer_max_streams() const;
  bool TakesRequests() const;

 private:
  struct Stream {
    StreamHandler* handler = nullptr;
    Headers headers;
    size_t header_bytes = 0;
    size_t held = 0;        // received, not yet Consumed
    bool answered = false;  // a client's stream whose final response came
    bool ended = false;     // the latest headers carried END_STREAM
  };
  friend struct Callbacks;

  uint32_t HeaderLimit() const;
  Stream* FindStream(int32_t id);
  void Forget(int32_t id, uint32_t error_code);
  void SetHeld(size_t bytes);
  void PayConnectionWindow();

  SessionVisitor& visitor_;
  const Options options_;
  nghttp2_session* session_ = nullptr;
  absl::flat_hash_map<int32_t, std::unique_ptr<Stream>> streams_;
  net::Buffer* out_ = nullptr;
  size_t out_limit_ = 0;
  std::vector<int32_t> postponed_;  // had data when the turn's output was full
  size_t held_ = 0;                 // of all streams
  net::Budget::Hold hold_;          // of it
  size_t owed_ = 0;                 // of it, not yet returned to the connection's window
  bool inside_ = false;
  absl::Status failure_;
};

}  // namespace mesh::h2
