// Judges the certificate chains of peers: signatures up to our roots, times, purpose, revocation.
// Whether the identity in it is the wanted one is the question's own part.
//
// A good verdict is remembered, since the same peers come again and again: for the same leaf under
// the same roots in the same role, until the first certificate of the chain ends or the revocation
// lists change. What is bounded: Options::remembered chains, the one not asked for longest goes.
// Owner: a worker; thread: its loop; it outlives the handshakes that ask it. Counters: any thread.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/time/clock.h>
#include <openssl/ssl.h>

#include <array>
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "ztunnel/core/identity/identity.h"
#include "ztunnel/core/identity/pem.h"
#include "ztunnel/core/identity/revocation.h"

namespace mesh::identity {

// What a verified chain says.
struct Peer {
  std::vector<Identity> ids;  // SPIFFE ids of the leaf, in its order
  absl::Time not_before;      // of the whole chain
  absl::Time not_after;
  std::vector<X509Ptr> chain;  // leaf first; kept where revocation lists are checked
};
using PeerRef = std::shared_ptr<const Peer>;

class PeerVerifier {
 public:
  struct Options {
    size_t remembered = 4096;
    std::function<absl::Time()> now = [] { return absl::Now(); };
  };
  // One writer; [0] peers that are servers to us, [1] clients.
  struct Counters {
    std::atomic<uint64_t> verified{0};    // chains gone through
    std::atomic<uint64_t> remembered{0};  // verdicts that spared that
    std::atomic<uint64_t> forgotten{0};   // for want of room
    std::atomic<uint64_t> entries{0};
    std::array<std::atomic<uint64_t>, 2> revoked{};    // peers refused, and connections ended
    std::array<std::atomic<uint64_t>, 2> uncovered{};  // accepted, an issuer has no list
  };

  PeerVerifier() : PeerVerifier(Options()) {}
  explicit PeerVerifier(Options options) : options_(std::move(options)) {}
  PeerVerifier(const PeerVerifier&) = delete;
  PeerVerifier& operator=(const PeerVerifier&) = delete;

  // Null: nothing is ever revoked.
  void SetRevocations(RevocationListsRef lists);
  // The certificate of `peer` that the present lists take back; empty: none.
  std::string RevokedOf(const Peer& peer) const;
  void CountRevoked(bool peer_is_client);  // a connection that ended for it

  const Counters& counters() const { return counters_; }

 private:
  friend class PeerQuestion;
  struct Answer {
    PeerRef peer;  // null: refused
    std::string why;
    bool revoked = false;
  };
  Answer Judge(X509_STORE_CTX* context, std::string_view roots_id, bool peer_is_client);
  Answer Verify(X509_STORE_CTX* context, absl::Time now, bool peer_is_client);
  PeerRef Remembered(const std::string& key, absl::Time now);
  void Remember(std::string key, PeerRef peer);

  struct Entry {
    std::string key;
    PeerRef peer;
  };
  using Entries = std::list<Entry>;  // asked for last first
  const Options options_;
  RevocationListsRef revocations_;
  Entries entries_;
  absl::flat_hash_map<std::string, Entries::iterator> by_key_;
  Counters counters_;
};

// What one handshake asks about its peer; lives as long as the SSL that it is attached to.
class PeerQuestion {
 public:
  // `roots_id` is WorkloadCertificate::roots_id() of the SSL's context.
  PeerQuestion(PeerVerifier& verifier, std::string_view roots_id, bool peer_is_client,
               std::function<bool(const Peer&)> accept)
      : verifier_(verifier),
        roots_id_(roots_id),
        peer_is_client_(peer_is_client),
        accept_(std::move(accept)) {}
  PeerQuestion(const PeerQuestion&) = delete;
  PeerQuestion& operator=(const PeerQuestion&) = delete;

  // The SSL's context has been given to Enable.
  void Attach(SSL* ssl);
  // Peers of SSLs without a question get OpenSSL's verdict alone.
  static void Enable(SSL_CTX* context);

  const PeerRef& peer() const { return answer_.peer; }  // verified and accepted
  // To be asked when the handshake ends: the lists may have changed while it went on.
  bool StillGood();
  const std::string& why() const { return answer_.why; }
  bool revoked() const { return answer_.revoked; }
  bool not_accepted() const { return not_accepted_; }  // verified, but not the one that we want

 private:
  static int OnChain(X509_STORE_CTX* context, void*);
  int Ask(X509_STORE_CTX* context);

  PeerVerifier& verifier_;
  const std::string roots_id_;
  const bool peer_is_client_;
  const std::function<bool(const Peer&)> accept_;
  PeerVerifier::Answer answer_;
  bool not_accepted_ = false;
};

}  // namespace mesh::identity
