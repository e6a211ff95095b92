// Bytes of a tunnel's peer, after TLS: the first byte says which side we are and how the rest is
// cut.
#include <cstdint>
#include <cstring>
#include <map>

#include "ztunnel/core/h2/session.h"

namespace {

using mesh::h2::Headers;

struct Handler : mesh::h2::StreamHandler {
  mesh::h2::Session* session = nullptr;
  int32_t id = 0;
  size_t got = 0;
  bool closed = false;
  void OnHeaders(const Headers&) override {}
  void OnData(std::span<const std::byte> data) override {
    if (closed) __builtin_trap();
    got += data.size();
    // Some of it stays here, as with an application that is slow.
    session->Consumed(id, data.size() - data.size() / 3);
  }
  void OnEnd() override {
    if (closed) __builtin_trap();
  }
  void OnClosed(uint32_t) override {
    if (closed) __builtin_trap();
    closed = true;
  }
  Produced Produce(std::span<std::byte> out) override {
    if (got == 0) return {Produced::Kind::kBlocked};
    const size_t n = std::min(out.size(), got);
    std::memset(out.data(), 'x', n);
    got -= n;
    return {got == 0 ? Produced::Kind::kEnd : Produced::Kind::kData, n};
  }
};

struct Visitor : mesh::h2::SessionVisitor {
  mesh::h2::Session* session = nullptr;
  std::map<int32_t, Handler> handlers;
  mesh::h2::StreamHandler* OnRequest(int32_t id, Headers headers) override {
    if (Find(headers, ":method") != "CONNECT") {
      session->RespondAndEnd(id, {{":status", "400"}});
      return nullptr;
    }
    Handler& handler = handlers[id];
    handler.session = session;
    handler.id = id;
    session->Respond(id, {{":status", "200"}});
    return &handler;
  }
  void OnGoAway() override {}
  void OnPong() override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const bool server = (data[0] & 1) != 0;
  const size_t cut = 1 + (data[0] >> 1);
  Visitor visitor;
  mesh::h2::Session session(visitor, {.server = server});
  visitor.session = &session;
  mesh::net::Buffer out;
  if (!server) {
    Handler& handler = visitor.handlers[1];
    handler.session = &session;
    handler.id = 1;
    (void)session.Request({{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}, handler);
  }
  for (size_t at = 1; at < size; at += cut) {
    const size_t n = std::min(cut, size - at);
    const bool good = session.Receive(std::as_bytes(std::span(data + at, n))).ok();
    for (auto& [id, handler] : visitor.handlers) {
      if (!handler.closed) session.Resume(id);
    }
    out.Clear();
    if (!session.Produce(out, 1 << 16).ok() || !good) break;
  }
  session.Abandon(mesh::h2::kConnectError);
  return 0;
}
