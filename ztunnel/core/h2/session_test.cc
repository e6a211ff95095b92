#include "ztunnel/core/h2/session.h"

#include <gtest/gtest.h>

namespace mesh::h2 {
namespace {

std::string Text(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// A stream that sends what it is given and keeps what it gets.
struct Endpoint : StreamHandler {
  Session* session = nullptr;
  int32_t id = 0;
  std::string to_send;
  bool end_after = false;
  bool consume = true;
  std::string status, received;
  bool ended = false;
  int closed = 0;
  uint32_t close_code = 0;

  void OnHeaders(const Headers& headers) override { status = Find(headers, ":status"); }
  void OnData(std::span<const std::byte> data) override {
    received += Text(data);
    if (consume) session->Consumed(id, data.size());
  }
  void OnEnd() override { ended = true; }
  void OnClosed(uint32_t code) override {
    ++closed;
    close_code = code;
  }
  Produced Produce(std::span<std::byte> out) override {
    const size_t n = std::min(out.size(), to_send.size());
    std::memcpy(out.data(), to_send.data(), n);
    to_send.erase(0, n);
    if (to_send.empty() && end_after) return {Produced::Kind::kEnd, n};
    if (n == 0) return {Produced::Kind::kBlocked};
    return {Produced::Kind::kData, n};
  }
};

struct Client : SessionVisitor {
  bool goaway = false;
  int pongs = 0;
  StreamHandler* OnRequest(int32_t, Headers) override { return nullptr; }
  void OnGoAway() override { goaway = true; }
  void OnPong() override { ++pongs; }
};

struct Server : SessionVisitor {
  Session* session = nullptr;
  std::map<int32_t, Endpoint> endpoints;
  std::string refuse;
  std::string authority;
  StreamHandler* OnRequest(int32_t id, Headers headers) override {
    authority = Find(headers, ":authority");
    if (!refuse.empty()) {
      session->RespondAndEnd(id, {{":status", refuse}});
      return nullptr;
    }
    Endpoint& endpoint = endpoints[id];
    endpoint.session = session;
    endpoint.id = id;
    session->Respond(id, {{":status", "200"}});
    return &endpoint;
  }
  void OnGoAway() override {}
  void OnPong() override {}
};

struct Pair {
  Client client_visitor;
  Server server_visitor;
  Session client{client_visitor, {}};
  Session server{server_visitor, {.server = true}};
  Pair() { server_visitor.session = &server; }

  void Run(int rounds = 40) {
    for (int i = 0; i < rounds; ++i) {
      net::Buffer wire;
      EXPECT_TRUE(client.Produce(wire, 256 << 10).ok());
      EXPECT_TRUE(server.Receive(wire.data()).ok());
      net::Buffer back;
      EXPECT_TRUE(server.Produce(back, 256 << 10).ok());
      EXPECT_TRUE(client.Receive(back.data()).ok());
      if (wire.empty() && back.empty()) break;
    }
  }
  int32_t Open(Endpoint& endpoint, const std::string& authority = "10.0.0.1:80") {
    endpoint.session = &client;
    auto id = client.Request({{":method", "CONNECT"}, {":authority", authority}}, endpoint);
    EXPECT_TRUE(id.ok()) << id.status();
    endpoint.id = *id;
    return *id;
  }
};

TEST(H2Session, CarriesBytesBothWaysAndHalfCloses) {
  Pair pair;
  Endpoint endpoint;
  const int32_t id = pair.Open(endpoint);
  pair.Run();
  EXPECT_EQ(endpoint.status, "200");
  EXPECT_EQ(pair.server_visitor.authority, "10.0.0.1:80");

  endpoint.to_send = std::string(3'000'000, 'a');
  endpoint.end_after = true;
  pair.client.Resume(id);
  pair.Run();
  Endpoint& far = pair.server_visitor.endpoints[id];
  EXPECT_EQ(far.received.size(), 3'000'000u);
  EXPECT_TRUE(far.ended);
  EXPECT_EQ(endpoint.closed, 0) << "the other direction goes on";

  far.to_send = "bye";
  far.end_after = true;
  pair.server.Resume(id);
  pair.Run();
  EXPECT_EQ(endpoint.received, "bye");
  EXPECT_TRUE(endpoint.ended);
  EXPECT_EQ(endpoint.closed, 1);
  EXPECT_EQ(endpoint.close_code, kNoError);
  EXPECT_EQ(far.closed, 1);
  EXPECT_EQ(pair.client.streams(), 0u);
}

TEST(H2Session, ABlockedStreamHoldsItsWindowAndNobodyElses) {
  Pair pair;
  std::array<Endpoint, 5> blocked;
  for (Endpoint& endpoint : blocked) {
    endpoint.to_send = std::string(6 << 20, 'b');
    pair.Open(endpoint);
  }
  pair.Run(1);
  for (auto& [id, far] : pair.server_visitor.endpoints) far.consume = false;
  pair.Run(400);
  for (auto& [id, far] : pair.server_visitor.endpoints) {
    EXPECT_LE(far.received.size(), size_t{4 << 20} + (300 << 10));
  }
  Endpoint small;
  small.to_send = "hello";
  const int32_t id = pair.Open(small);
  pair.Run();
  EXPECT_EQ(pair.server_visitor.endpoints[id].received, "hello");
}

TEST(H2Session, WhatHandlersHoldCountsUntilItIsConsumedOrGone) {
  net::Budget budget;
  budget.SetLimit(1000);
  Server visitor;
  Session server(visitor, {.server = true, .budget = &budget});
  visitor.session = &server;
  Client client_visitor;
  Session client(client_visitor, {});
  const auto run = [&] {
    for (int i = 0; i < 4; ++i) {
      net::Buffer wire, back;
      EXPECT_TRUE(client.Produce(wire, 256 << 10).ok());
      EXPECT_TRUE(server.Receive(wire.data()).ok());
      EXPECT_TRUE(server.Produce(back, 256 << 10).ok());
      EXPECT_TRUE(client.Receive(back.data()).ok());
    }
  };
  Endpoint endpoint;
  const auto id = client.Request({{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}, endpoint);
  ASSERT_TRUE(id.ok());
  run();
  Endpoint& far = visitor.endpoints[*id];
  far.consume = false;
  endpoint.to_send = std::string(5000, 'x');
  client.Resume(*id);
  run();
  EXPECT_EQ(budget.held(), 5000u);
  EXPECT_TRUE(server.Full());
  server.Consumed(*id, 4500);
  EXPECT_EQ(budget.held(), 500u);
  EXPECT_FALSE(server.Full());
  client.Reset(*id, kCancel);
  run();
  EXPECT_EQ(far.closed, 1);
  EXPECT_EQ(budget.held(), 0u);
}

TEST(H2Session, ASmallStreamPassesBulk) {
  Pair pair;
  Endpoint bulk, small;
  bulk.to_send = std::string(2 << 20, 'b');
  pair.Open(bulk);
  const int32_t id = pair.Open(small);
  pair.Run(3);
  small.to_send = "now";
  pair.client.Resume(id);
  pair.Run(2);
  EXPECT_EQ(pair.server_visitor.endpoints[id].received, "now");
  EXPECT_FALSE(bulk.to_send.empty());
}

TEST(H2Session, RefusalAndResetReachTheOtherSide) {
  Pair pair;
  pair.server_visitor.refuse = "401";
  Endpoint refused;
  pair.Open(refused);
  pair.Run();
  EXPECT_EQ(refused.status, "401");
  EXPECT_EQ(refused.closed, 1);
  EXPECT_EQ(refused.close_code, kNoError);

  pair.server_visitor.refuse.clear();
  Endpoint endpoint;
  const int32_t id = pair.Open(endpoint);
  pair.Run();
  pair.client.Reset(id, kConnectError);
  pair.Run();
  EXPECT_EQ(pair.server_visitor.endpoints[id].close_code, kConnectError);
}

TEST(H2Session, GoAwayKeepsWhatRunsAndTakesNothingNew) {
  Pair pair;
  Endpoint endpoint;
  const int32_t id = pair.Open(endpoint);
  pair.Run();
  pair.server.GoAwayNotice();
  pair.Run();
  pair.server.GoAway();
  pair.client.Ping();
  pair.Run();
  EXPECT_TRUE(pair.client_visitor.goaway);
  EXPECT_EQ(pair.client_visitor.pongs, 1);
  EXPECT_FALSE(pair.client.TakesRequests());
  endpoint.to_send = "still here";
  pair.client.Resume(id);
  pair.Run();
  EXPECT_EQ(pair.server_visitor.endpoints[id].received, "still here");
}

TEST(H2Session, NoiseEndsTheConnection) {
  Server visitor;
  Session server(visitor, {.server = true});
  const std::string noise = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  EXPECT_FALSE(server.Receive(std::as_bytes(std::span(noise))).ok());
}

TEST(H2Session, AServerThatBreaksTheProtocolIsAFailureThatSaysWhy) {
  struct Case {
    std::string answer, why;
  };
  const std::string settings(std::string_view("\0\0\0\4\0\0\0\0\0", 9));
  const std::string huge(std::string_view("\x20\0\0\0\0\0\0\0\1", 9));  // DATA of 2 MiB
  const std::string reset(std::string_view("\0\0\4\3\0\0\0\0\0\0\0\0\0", 13));
  for (const Case& c :
       {Case{"HTTP/1.1 400 Bad Request\r\n\r\n", "SETTINGS expected"},
        Case{"SSH-2.0-OpenSSH_9.2\r\n", "SETTINGS expected"}, Case{huge, "SETTINGS expected"},
        Case{reset, "SETTINGS expected"}, Case{settings + huge, "FRAME_SIZE_ERROR"},
        Case{settings + reset, "PROTOCOL_ERROR"}}) {
    Client visitor;
    Session client(visitor, {});
    Endpoint endpoint;
    ASSERT_TRUE(client.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, endpoint).ok());
    net::Buffer out;
    ASSERT_TRUE(client.Produce(out, 256 << 10).ok());
    EXPECT_TRUE(client.failure().ok());
    (void)client.Receive(std::as_bytes(std::span(c.answer)));
    ASSERT_TRUE(client.Produce(out, 256 << 10).ok());
    EXPECT_TRUE(client.Finished());
    EXPECT_NE(client.failure().message().find(c.why), std::string::npos) << client.failure();
  }
}

TEST(H2Session, AFarewellIsNoFailure) {
  Pair pair;
  pair.server.GoAway();
  pair.client.Ping();
  pair.Run();
  EXPECT_TRUE(pair.client.failure().ok());
  EXPECT_TRUE(pair.server.failure().ok());
}

}  // namespace
}  // namespace mesh::h2
