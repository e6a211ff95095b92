#include "ztunnel/core/tls/session.h"

#include <gtest/gtest.h>

#include "ztunnel/core/identity/local_authority.h"
#include "ztunnel/core/tls/pair_for_test.h"

namespace mesh::tls {
namespace {

const identity::Identity kClient{"cluster.local", "default", "client"};
const identity::Identity kServer{"cluster.local", "default", "server"};
const identity::Identity kOther{"cluster.local", "default", "other"};
const identity::Identity kForeign{"far.example", "default", "client"};

TEST(TlsSession, BothSidesLearnWhoTheOtherIs) {
  identity::LocalAuthority ca;
  PairForTest pair(*ca.Issue(kClient), *ca.Issue(kServer), {kOther, kServer});
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
  PairForTest pair(*ca.Issue(kClient), *ca.Issue(kServer), {kOther});
  pair.Run();
  EXPECT_EQ(pair.client_status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(pair.client->refusal(), Session::Refusal::kIdentity);
  EXPECT_FALSE(pair.server_status.ok()) << "the alert must reach the server";
}

TEST(TlsSession, ServerRefusesAnotherTrustDomainAndStrangers) {
  identity::LocalAuthority ca, stranger;
  PairForTest foreign(*ca.Issue(kForeign), *ca.Issue(kServer), {kServer});
  foreign.Run();
  EXPECT_EQ(foreign.server->refusal(), Session::Refusal::kIdentity);
  EXPECT_FALSE(foreign.server_status.ok());

  PairForTest unknown(*stranger.Issue(kClient), *ca.Issue(kServer), {kServer});
  unknown.Run();
  EXPECT_FALSE(unknown.client_status.ok());
  EXPECT_FALSE(unknown.server->established());
}

TEST(TlsSession, NoiseIsAnErrorNotACrash) {
  identity::LocalAuthority ca;
  identity::PeerVerifier verifier;
  auto server = *Session::Server(*ca.Issue(kServer), verifier);
  net::Buffer plain, out;
  const std::string noise = "GET / HTTP/1.1\r\n\r\n";
  EXPECT_FALSE(server->Open(std::as_bytes(std::span(noise)), plain, out).ok());
}

}  // namespace
}  // namespace mesh::tls
