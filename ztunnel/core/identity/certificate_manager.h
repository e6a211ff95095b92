// Certificates of the identities that run on this node: fetched before first use, renewed at half
// life, the old one kept while renewal fails, forgotten when the last pod of the identity leaves.
//
// Thread-safe. Fetching runs on threads of its own (gRPC); at most 8 at once, those that a
// connection waits for first. Failures back off per identity from about 0.5 s, doubling, with 20 %
// jitter, to 150 s at most.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/identity/certificate.h"
#include "ztunnel/core/identity/clock.h"

namespace mesh::identity {

// The seam to the certificate authority: gRPC to the controller, or a local signer in tests.
class CertificateAuthority {
 public:
  virtual ~CertificateAuthority() = default;
  // Blocking, called from the manager's threads. `csr_pem` has the identity as its only SAN. The
  // answer is leaf first, roots last.
  virtual absl::StatusOr<std::vector<std::string>> Sign(const Identity& identity,
                                                        const std::string& csr_pem,
                                                        absl::Duration lifetime) = 0;
  // The manager ends: calls in flight and later ones should fail soon. Any thread.
  virtual void Cancel() {}
};

struct CertificateState {
  Identity identity;
  CertificateRef certificate;  // null while none was ever obtained
  absl::Status last_error;     // OK unless the last fetch failed
  bool fetching = false;
};

class CertificateManager {
 public:
  struct Options {
    absl::Duration lifetime = absl::Hours(24);  // SECRET_TTL
    int parallel_fetches = 8;
    std::string key_exchange = "";  // as in key_exchange.h; empty: OpenSSL's default
    Clock* clock = nullptr;         // null: the real one; outlives the manager
  };
  CertificateManager(CertificateAuthority& authority, Options options);
  ~CertificateManager();  // Stop()

  // Ends fetching, waits for calls in flight and tells those still waiting kCancelled. To be called
  // before any loop that was given to Get goes away. What was obtained stays usable.
  void Stop();

  // Reference-counted interest of a pod on this node. Retain starts the first fetch (warm-up).
  void Retain(const Identity& identity);
  void Release(const Identity& identity);

  // The valid certificate if there is one now; null otherwise. Cheap: for every handshake.
  CertificateRef TryGet(const Identity& identity) const;

  // Calls `done` on `loop` once: at once when there is a valid certificate, else when the fetch in
  // flight (started now if need be) ends; the first two failures of an identity are sat out, 1.5 s
  // together. Waiters go before warm-up and renewal. Refused at once:
  // identities that nobody retains (kNotFound), and those whose last fetch failed while the next
  // try is more than 2 s away (kUnavailable with that error): a connection fails quickly, and a
  // storm of connections does not become one on the authority. `loop` lives until Stop().
  void Get(const Identity& identity, base::EventLoop& loop,
           std::function<void(absl::StatusOr<CertificateRef>)> done);

  std::vector<CertificateState> Dump() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::identity
