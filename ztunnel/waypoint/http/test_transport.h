// A transport without a network for tests of codecs: the test is the peer.
//
//   TestPeer peer(loop);
//   auto connection = MakeHttp1Server(loop, peer.MakeTransport(), visitor, {});
//   peer.Send("GET / HTTP/1.1\r\n...", 1);   // byte by byte, each in memory of its own
//   EXPECT_EQ(peer.TakeSent(), "HTTP/1.1 200 OK\r\n...");
//
// The peer outlives the transport. It takes what is written at once, unless `room` is lowered: then
// written bytes use it up until TakeRoom(). Each Send runs a few turns of the loop.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::http {

inline void RunTurns(base::EventLoop& loop, int turns = 3) {
  for (int i = 0; i < turns; ++i) {
    loop.Post([&loop] { loop.Stop(); });
    loop.Run();
  }
}

class TestPeer {
 public:
  explicit TestPeer(base::EventLoop& loop) : loop_(loop) {}
  TestPeer(const TestPeer&) = delete;
  TestPeer& operator=(const TestPeer&) = delete;

  std::unique_ptr<transport::Transport> MakeTransport();  // once

  // In pieces of that size, while the connection is there.
  void Send(std::string_view text, size_t piece = SIZE_MAX);
  void End();
  void Reset();  // or the network failed
  void RunLoop() { RunTurns(loop_, turns); }
  // Gives room back; the codec hears of it when there was none.
  void AddRoom(size_t bytes);

  std::string TakeSent() { return std::exchange(sent_, {}); }  // by the codec
  const std::string& sent() const { return sent_; }
  bool ended() const { return ended_; }          // the codec sends no more
  bool was_reset() const { return was_reset_; }  // by the codec
  bool open() const { return transport_ != nullptr && !closed_; }
  size_t unpaid() const { return unpaid_; }  // bytes that the codec has not said Consumed of

  size_t room = SIZE_MAX;  // SIZE_MAX: always that much
  int turns = 3;           // of the loop after each piece

 private:
  class TestTransport;

  base::EventLoop& loop_;
  TestTransport* transport_ = nullptr;
  transport::Events* events_ = nullptr;
  std::string sent_;
  size_t unpaid_ = 0;
  bool ended_ = false;
  bool peer_ended_ = false;
  bool was_reset_ = false;
  bool closed_ = false;  // OnClosed was said
};

class TestPeer::TestTransport final : public transport::Transport, public base::Deferred {
 public:
  explicit TestTransport(TestPeer& peer) : peer_(peer) {}
  ~TestTransport() override {
    peer_.loop_.CancelDefer(*this);
    peer_.transport_ = nullptr;
  }
  void Start(transport::Events& events) override { peer_.events_ = &events; }
  size_t Room() const override { return peer_.room; }
  void Write(std::span<const std::byte> bytes) override {
    MESH_CHECK(!peer_.ended_, "written after the end");
    if (peer_.closed_ || peer_.was_reset_) return;
    peer_.sent_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (peer_.room != SIZE_MAX) peer_.room -= std::min(peer_.room, bytes.size());
  }
  void End() override {
    MESH_CHECK(!std::exchange(peer_.ended_, true), "ended twice");
    if (peer_.peer_ended_) Close(true);
  }
  void Consumed(size_t bytes) override {
    MESH_CHECK(bytes <= peer_.unpaid_, "more consumed than came");
    peer_.unpaid_ -= bytes;
  }
  void Reset() override {
    peer_.was_reset_ = true;
    Close(false);
  }
  void Close(bool clean) {
    clean_ = clean;
    peer_.loop_.Defer(*this);
  }
  void RunDeferred() override {
    if (std::exchange(peer_.closed_, true)) return;
    peer_.events_->OnClosed(clean_);
  }

 private:
  TestPeer& peer_;
  bool clean_ = false;
};

inline std::unique_ptr<transport::Transport> TestPeer::MakeTransport() {
  auto transport = std::make_unique<TestTransport>(*this);
  transport_ = transport.get();
  return transport;
}

inline void TestPeer::Send(std::string_view text, size_t piece) {
  while (!text.empty() && open() && !was_reset_) {
    const std::string_view part = text.substr(0, piece);
    text.remove_prefix(part.size());
    unpaid_ += part.size();
    // A copy of exactly that size, gone afterwards: what reads beyond it or later is found out.
    std::vector<std::byte> bytes(part.size());
    std::transform(part.begin(), part.end(), bytes.begin(), [](char c) { return std::byte(c); });
    events_->OnBytes(bytes);
    bytes = {};
    RunLoop();
  }
}

inline void TestPeer::End() {
  if (!open() || std::exchange(peer_ended_, true)) return;
  events_->OnEnd();
  if (transport_ != nullptr && ended_) transport_->Close(true);
  RunLoop();
}

inline void TestPeer::Reset() {
  if (open()) transport_->Close(false);
  RunLoop();
}

inline void TestPeer::AddRoom(size_t bytes) {
  const bool none = room == 0;
  room += bytes;
  if (none && open()) events_->OnRoom();
  RunLoop();
}

}  // namespace mesh::http
