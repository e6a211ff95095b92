#include "ztunnel/core/tls/session.h"

#include <gtest/gtest.h>

#include "ztunnel/core/identity/local_authority.h"

namespace mesh::tls {
namespace {

const identity::Identity kClient{"cluster.local", "default", "client"};
const identity::Identity kServer{"cluster.local", "default", "server"};
const identity::Identity kOther{"cluster.local", "default", "other"};
const identity::Identity kForeign{"far.example", "default", "client"};

struct Pair {
  std::unique_ptr<Session> client, server;
  net::Buffer to_server, to_client, client_plain, server_plain;
  absl::Status client_status, server_status;

  void Run() {
    client_status = client->Start(to_server);
    for (int i = 0; i < 10 && (!to_server.empty() || !to_client.empty()); ++i) {
      net::Buffer wire = std::move(to_server);
      to_server = net::Buffer();
      if (server_status.ok()) server_status = server->Open(wire.data(), server_plain, to_client);
      wire = std::move(to_client);
      to_client = net::Buffer();
      if (client_status.ok()) client_status = client->Open(wire.data(), client_plain, to_server);
    }
  }
};

Pair Make(identity::CertificateRef client, identity::CertificateRef server,
          std::vector<identity::Identity> expected) {
  Pair pair;
  pair.client = *Session::Client(std::move(client), std::move(expected));
  pair.server = *Session::Server(std::move(server));
  return pair;
}

TEST(TlsSession, BothSidesLearnWhoTheOtherIs) {
  identity::LocalAuthority ca;
  Pair pair = Make(*ca.Issue(kClient), *ca.Issue(kServer), {kOther, kServer});
  pair.Run();
  ASSERT_TRUE(pair.client_status.ok()) << pair.client_status;
  ASSERT_TRUE(pair.server_status.ok()) << pair.server_status;
  EXPECT_EQ(pair.client->peer(), kServer);
  EXPECT_EQ(pair.server->peer(), kClient);

  // A turn's worth of bytes leaves in whole records and arrives as it was, however it is cut.
  std::string text(300'000, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 % 251);
  net::Buffer wire, none;
  ASSERT_TRUE(pair.client->Seal(std::as_bytes(std::span(text)), wire).ok());
  for (size_t at = 0; at < wire.size(); at += 5000) {
    const auto piece = wire.data().subspan(at, std::min<size_t>(5000, wire.size() - at));
    ASSERT_TRUE(pair.server->Open(piece, pair.server_plain, none).ok());
  }
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(pair.server_plain.data().data()),
                        pair.server_plain.size()),
            text);
  net::Buffer close;
  pair.client->Close(close);
  ASSERT_TRUE(pair.server->Open(close.data(), pair.server_plain, none).ok());
  EXPECT_TRUE(pair.server->peer_closed());
}

TEST(TlsSession, ClientRefusesAnotherServer) {
  identity::LocalAuthority ca;
  Pair pair = Make(*ca.Issue(kClient), *ca.Issue(kServer), {kOther});
  pair.Run();
  EXPECT_EQ(pair.client_status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(pair.client->IdentityMismatch());
  EXPECT_FALSE(pair.server_status.ok()) << "the alert must reach the server";
}

TEST(TlsSession, ServerRefusesAnotherTrustDomainAndStrangers) {
  identity::LocalAuthority ca, stranger;
  Pair foreign = Make(*ca.Issue(kForeign), *ca.Issue(kServer), {kServer});
  foreign.Run();
  EXPECT_TRUE(foreign.server->IdentityMismatch());
  EXPECT_FALSE(foreign.server_status.ok());

  Pair unknown = Make(*stranger.Issue(kClient), *ca.Issue(kServer), {kServer});
  unknown.Run();
  EXPECT_FALSE(unknown.client_status.ok());
  EXPECT_FALSE(unknown.server->established());
}

TEST(TlsSession, NoiseIsAnErrorNotACrash) {
  identity::LocalAuthority ca;
  auto server = *Session::Server(*ca.Issue(kServer));
  net::Buffer plain, out;
  const std::string noise = "GET / HTTP/1.1\r\n\r\n";
  EXPECT_FALSE(server->Open(std::as_bytes(std::span(noise)), plain, out).ok());
}

}  // namespace
}  // namespace mesh::tls
