// The two ends of a TLS connection with what is on the wire between them, for tests.
#pragma once

#include <memory>
#include <vector>

#include "ztunnel/core/tls/session.h"

namespace mesh::tls {

struct PairForTest {
  PairForTest(identity::CertificateRef client_certificate,
              identity::CertificateRef server_certificate, std::vector<identity::Identity> expected)
      : PairForTest(std::move(client_certificate), std::move(server_certificate),
                    std::move(expected), own_verifier, own_verifier) {}
  PairForTest(identity::CertificateRef client_certificate,
              identity::CertificateRef server_certificate, std::vector<identity::Identity> expected,
              identity::PeerVerifier& client_verifier, identity::PeerVerifier& server_verifier)
      : client(
            *Session::Client(std::move(client_certificate), std::move(expected), client_verifier)),
        server(*Session::Server(std::move(server_certificate), server_verifier)) {}

  // To the end of the handshake, or of what it came to.
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
  bool Works() {
    Run();
    return client_status.ok() && server_status.ok() && client->established() &&
           server->established();
  }

  identity::PeerVerifier own_verifier;
  std::unique_ptr<Session> client, server;
  net::Buffer to_server, to_client, client_plain, server_plain;
  absl::Status client_status, server_status;
};

}  // namespace mesh::tls
