// Who gets through a handshake and who does not, by what certificate they show.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "ztunnel/core/identity/issuer_for_test.h"
#include "ztunnel/core/tls/pair_for_test.h"

namespace mesh::tls {
namespace {

using identity::CertificateRef;
using identity::IssuerForTest;
using Leaf = IssuerForTest::Leaf;

const identity::Identity kClient{"cluster.local", "default", "client"};
const identity::Identity kServer{"cluster.local", "default", "server"};

std::string UriOf(const identity::Identity& id) { return "URI:" + id.ToString(); }

struct Case {
  const char* name;
  Leaf client, server;
  const char* server_says;  // part of the error; null: it lets the client in
  const char* client_says;
  std::string identity = "";  // what the server takes the client for
};

std::vector<Case> Cases() {
  const absl::Time now = absl::Now();
  const Leaf client{.names = {UriOf(kClient)}};
  const Leaf server{.names = {UriOf(kServer)}};
  const auto with = [](Leaf leaf, auto change) {
    change(leaf);
    return leaf;
  };
  const auto expired = [&](Leaf& l) { l.not_after = now - absl::Minutes(1); };
  const auto early = [&](Leaf& l) { l.not_before = now + absl::Minutes(1); };
  const auto names = [](std::vector<std::string> all) { return [all](Leaf& l) { l.names = all; }; };
  const auto usage = [](const char* text) { return [text](Leaf& l) { l.usage = text; }; };
  const std::string foreign = "URI:spiffe://far.example/ns/default/sa/client";
  const char* nobody = "none of the accepted identities";
  return {
      {"both good", client, server, nullptr, nullptr, kClient.ToString()},
      {"client expired", with(client, expired), server, "certificate has expired (valid from",
       nullptr},
      {"server expired", client, with(server, expired), nullptr, "our clock says"},
      {"client not yet valid", with(client, early), server, "not yet valid (valid from", nullptr},
      {"server not yet valid", client, with(server, early), nullptr, "not yet valid"},
      {"client of another trust domain", with(client, names({foreign})), server, nobody, nullptr},
      {"client without a name", with(client, names({})), server, nobody, nullptr},
      {"client with a DNS name only", with(client, names({"DNS:client.default"})), server, nobody,
       nullptr},
      {"client with a name that is no SPIFFE id", with(client, names({"URI:https://client"})),
       server, nobody, nullptr},
      {"client with too long a SPIFFE id", with(client, names({UriOf(kClient) + "/more"})), server,
       nobody, nullptr},
      {"client with several names, one of ours",
       with(client, names({"DNS:x", "URI:https://client", foreign, UriOf(kClient)})), server,
       nullptr, nullptr, kClient.ToString()},
      {"server without a name", client, with(server, names({})), nullptr, nobody},
      {"server with another's name", client, with(server, names({UriOf(kClient)})), nullptr,
       nobody},
      {"server with several names, the wanted one last", client,
       with(server, names({UriOf(kClient), UriOf(kServer)})), nullptr, nullptr, kClient.ToString()},
      {"client with a server's usage", with(client, usage("serverAuth")), server, "purpose",
       nullptr},
      {"server with a client's usage", client, with(server, usage("clientAuth")), nullptr,
       "purpose"},
  };
}

TEST(TlsPeers, TheCertificateDecides) {
  IssuerForTest issuer;
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    PairForTest pair(issuer.Presenting(kClient, c.client), issuer.Presenting(kServer, c.server),
                     {kServer});
    pair.Run();
    const auto check = [](const absl::Status& status, const char* wanted) {
      if (wanted == nullptr) return;
      EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
      EXPECT_NE(status.ToString().find(wanted), std::string::npos) << status;
    };
    check(pair.server_status, c.server_says);
    check(pair.client_status, c.client_says);
    if (!c.identity.empty()) {
      ASSERT_TRUE(pair.server_status.ok()) << pair.server_status;
      ASSERT_TRUE(pair.client_status.ok()) << pair.client_status;
      EXPECT_EQ(pair.server->peer()->ToString(), c.identity);
      EXPECT_EQ(pair.client->peer(), kServer);
    } else {
      EXPECT_FALSE(pair.server->established() && pair.server_status.ok());
      EXPECT_FALSE(pair.client_status.ok()) << "the alert must reach the client";
    }
  }
}

TEST(TlsPeers, AnIntermediateComesWithTheLeaf) {
  IssuerForTest root;
  IssuerForTest intermediate = root.Intermediate();
  PairForTest pair(intermediate.Certificate(kClient, root), root.Certificate(kServer), {kServer});
  pair.Run();
  EXPECT_TRUE(pair.server_status.ok()) << pair.server_status;

  // Its leaf without it leads nowhere.
  const CertificateRef alone = intermediate.Certificate(kClient, root);
  SSL_CTX_clear_chain_certs(alone->client_context());
  PairForTest lost(alone, root.Certificate(kServer), {kServer});
  lost.Run();
  EXPECT_NE(lost.server_status.ToString().find("unable to get local issuer certificate"),
            std::string::npos)
      << lost.server_status;
}

TEST(TlsPeers, AnotherRootOfTheSameNameIsAStranger) {
  IssuerForTest ours, theirs;
  PairForTest pair(theirs.Certificate(kClient), ours.Certificate(kServer), {kServer});
  pair.Run();
  EXPECT_FALSE(pair.client_status.ok());
  EXPECT_FALSE(pair.server->established());
}

// A client of OpenSSL alone, as `change` makes it; what our server says to it.
template <typename Change>
absl::Status ServerSays(const CertificateRef& ours, Change change) {
  identity::PeerVerifier verifier;
  auto server = *Session::Server(ours, verifier);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  change(context);
  SSL* client = SSL_new(context);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(client, in, out);
  SSL_set_connect_state(client);
  absl::Status status;
  for (int i = 0; i < 4 && status.ok() && !server->established(); ++i) {
    SSL_do_handshake(client);
    std::string wire(static_cast<size_t>(BIO_pending(out)), '\0');
    BIO_read(out, wire.data(), static_cast<int>(wire.size()));
    net::Buffer plain, answer;
    status = server->Open(std::as_bytes(std::span(wire)), plain, answer);
    if (!answer.empty()) BIO_write(in, answer.data().data(), static_cast<int>(answer.size()));
  }
  EXPECT_FALSE(server->established());
  SSL_free(client);
  SSL_CTX_free(context);
  return status;
}

TEST(TlsPeers, AClientWithoutACertificateIsRefused) {
  IssuerForTest issuer;
  const absl::Status status = ServerSays(issuer.Certificate(kServer), [](SSL_CTX*) {});
  EXPECT_NE(status.ToString().find("peer did not return a certificate"), std::string::npos)
      << status;
}

TEST(TlsPeers, OlderTlsIsRefused) {
  IssuerForTest issuer;
  const absl::Status status = ServerSays(issuer.Certificate(kServer), [](SSL_CTX* context) {
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
  });
  EXPECT_NE(status.ToString().find("unsupported protocol"), std::string::npos) << status;
}

}  // namespace
}  // namespace mesh::tls
