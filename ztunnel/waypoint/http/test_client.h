// A client's visitor and handler that write down what they hear; for tests of client codecs.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/http/stream.h"
#include "ztunnel/waypoint/http/test_server.h"

namespace mesh::http {

struct TestAnswer final : ClientEvents {
  ClientStream* stream = nullptr;  // null once it is over
  std::string interims;            // "103 ;"
  ResponseHead head;
  int heads = 0;
  bool end_with_head = false;
  std::string body;
  HeaderMap trailers;
  bool ended = false;
  int rooms = 0;
  int closed = 0;
  bool sent_at_close = false;
  StreamError error = StreamError::kNone;
  bool consume = true;
  std::function<void(TestAnswer&)> on_head, on_body, on_closed;

  void OnInterim(const ResponseHead& interim) override {
    MESH_CHECK(heads == 0, "an interim answer after the head");
    interims.append(std::to_string(interim.status)).append(" ");
    interims.append(ToText(interim.headers)).append(";");
  }
  void OnHead(ResponseHead answer, bool end) override {
    MESH_CHECK(heads == 0 && closed == 0, "two heads");
    ++heads;
    head = std::move(answer);
    end_with_head = end;
    if (on_head) on_head(*this);
  }
  void OnBody(std::span<const std::byte> bytes) override {
    MESH_CHECK(heads == 1 && !ended && !end_with_head && closed == 0, "body out of place");
    body += ToText(bytes);
    if (consume) stream->Consumed(bytes.size());
    if (on_body) on_body(*this);
  }
  void OnTrailers(HeaderMap fields) override {
    trailers = std::move(fields);
    OnEnd();
  }
  void OnEnd() override {
    MESH_CHECK(heads == 1 && !ended && !end_with_head && closed == 0, "end out of place");
    ended = true;
  }
  void OnRoom() override { ++rooms; }
  void OnClosed(StreamError why) override {
    MESH_CHECK(closed == 0, "closed twice");
    ++closed;
    error = why;
    sent_at_close = stream != nullptr && stream->Sent();
    stream = nullptr;
    if (on_closed) on_closed(*this);
  }
  bool complete() const { return closed == 1 && error == StreamError::kNone; }
};

struct TestClient final : ClientConnectionVisitor {
  int capacities = 0;
  int closed = 0;
  void OnCapacity() override { ++capacities; }
  void OnConnectionClosed() override {
    MESH_CHECK(closed == 0, "the connection closed twice");
    ++closed;
  }
};

}  // namespace mesh::http
