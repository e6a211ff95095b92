// A server's visitor and handlers that write down what they hear; for tests of server codecs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/http/stream.h"

namespace mesh::http {

inline std::string ToText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::span<const std::byte> ToBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
// "name: value|name: value"
inline std::string ToText(const HeaderMap& fields) {
  std::string text;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) text.push_back('|');
    text.append(fields[i].name).append(": ").append(fields[i].value);
  }
  return text;
}

struct TestRequest final : StreamEvents {
  ServerStream* stream = nullptr;  // null once it is over
  RequestHead head;
  bool end_with_head = false;
  std::string body;
  HeaderMap trailers;
  bool ended = false;
  int rooms = 0;
  int closed = 0;
  StreamError error = StreamError::kNone;
  bool consume = true;
  std::function<void(TestRequest&)> on_body, on_end, on_closed;

  void OnBody(std::span<const std::byte> bytes) override {
    MESH_CHECK(closed == 0 && !ended, "body after the end");
    body += ToText(bytes);
    if (consume) stream->Consumed(bytes.size());
    if (on_body) on_body(*this);
  }
  void OnTrailers(HeaderMap fields) override {
    trailers = std::move(fields);
    OnEnd();
  }
  void OnEnd() override {
    MESH_CHECK(closed == 0 && !ended && !end_with_head, "ended twice");
    ended = true;
    if (on_end) on_end(*this);
  }
  void OnRoom() override { ++rooms; }
  void OnClosed(StreamError why) override {
    MESH_CHECK(closed == 0, "closed twice");
    ++closed;
    error = why;
    if (on_closed) on_closed(*this);
    stream = nullptr;
  }

  void Answer(uint16_t status, std::string_view content) {
    ResponseHead answer;
    answer.status = status;
    answer.headers.Add("content-length", std::to_string(content.size()));
    stream->SendHead(answer, content.empty());
    if (content.empty()) return;
    stream->Write(ToBytes(content));
    stream->End();
  }
};

struct TestServer final : ServerVisitor {
  std::vector<std::unique_ptr<TestRequest>> requests;
  std::function<void(TestRequest&)> on_request;
  std::string bad;  // "400 detail;"
  int closed = 0;

  StreamEvents* OnRequest(ServerStream& stream, RequestHead head, bool end) override {
    requests.push_back(std::make_unique<TestRequest>());
    TestRequest& request = *requests.back();
    request.stream = &stream;
    request.head = std::move(head);
    request.end_with_head = end;
    if (on_request) on_request(request);
    return &request;
  }
  void OnBadRequest(uint16_t status, std::string_view detail) override {
    bad.append(std::to_string(status)).append(" ").append(detail).append(";");
  }
  void OnConnectionClosed() override {
    MESH_CHECK(closed == 0, "the connection closed twice");
    ++closed;
  }
  TestRequest& operator[](size_t index) { return *requests.at(index); }
};

}  // namespace mesh::http
