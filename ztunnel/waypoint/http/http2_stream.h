// One stream of an HTTP/2 connection, of either side: bodies and trailers between a core/h2 session
// and who handles the exchange.
#pragma once

#include <optional>

#include "ztunnel/core/h2/session.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/waypoint/http/stream.h"

namespace mesh::http {

// What a stream needs of its connection.
class Http2Link {
 public:
  virtual ~Http2Link() = default;
  virtual h2::Session& session() = 0;
  // Something is to be sent, or a stream has something to tell: soon, from the top of the stack.
  virtual void Touch() = 0;
  virtual size_t buffered_limit() const = 0;
};

class Http2Body : public h2::StreamHandler {
 public:
  explicit Http2Body(Http2Link& link) : link_(link) {}

  void SetId(int32_t id) { id_ = id; }
  int32_t id() const { return id_; }
  void SetEvents(StreamEvents* events) { events_ = events; }

  size_t Room() const;
  void Write(std::span<const std::byte> bytes);
  void WriteTrailers(const HeaderMap& trailers);
  void End();
  void Consumed(size_t bytes);
  void Reset(StreamError why);
  void Detach() { events_ = nullptr; }

  // The peer's END_STREAM came with its headers: OnEnd says nothing new.
  void MarkPeerEnded() { peer_ended_ = true; }
  bool peer_ended() const { return peer_ended_; }
  bool ended() const { return end_sent_; }
  bool closed() const { return closed_; }

  // Room that came back is told by the connection, from the top of the stack.
  bool OwesRoom() const { return owes_room_ && events_ != nullptr; }
  void TellRoom();

 protected:
  void OnData(std::span<const std::byte> data) override;
  void OnTrailers(const h2::Headers& trailers) override;
  void OnEnd() override;
  void OnClosed(uint32_t error_code) override;
  Produced Produce(std::span<std::byte> out) override;
  // Whether a stream that closes without an error has carried its exchange whole.
  virtual bool Complete() const = 0;

  Http2Link& link_;
  StreamEvents* events_ = nullptr;

 private:
  int32_t id_ = 0;
  net::Buffer out_;
  std::optional<h2::Headers> trailers_;
  StreamError reset_why_ = StreamError::kNone;
  bool end_wanted_ = false;
  bool end_sent_ = false;
  bool peer_ended_ = false;
  bool was_full_ = false;
  bool owes_room_ = false;
  bool closed_ = false;
};

// A stream of either side: the body of above behind the interface of `Side`.
template <typename Side>
class Http2StreamOf : public Side, public Http2Body {
 public:
  using Http2Body::Http2Body;

  size_t Room() const override { return Http2Body::Room(); }
  void Write(std::span<const std::byte> bytes) override { Http2Body::Write(bytes); }
  void WriteTrailers(const HeaderMap& trailers) override { Http2Body::WriteTrailers(trailers); }
  void End() override { Http2Body::End(); }
  void Consumed(size_t bytes) override { Http2Body::Consumed(bytes); }
  void Reset(StreamError why) override { Http2Body::Reset(why); }
  void Detach() override { Http2Body::Detach(); }
};

// Fields that HTTP/2 does not know go (RFC 9113, 8.2.2).
void AppendFields(const HeaderMap& from, h2::Headers& to);
HeaderMap FieldsOf(const h2::Headers& headers);  // without pseudo-headers; cookies joined

}  // namespace mesh::http
