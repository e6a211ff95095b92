#include "ztunnel/core/identity/peer_verifier.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <algorithm>

#include "ztunnel/base/status.h"

namespace mesh::identity {
namespace {

int QuestionIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

void Bump(std::atomic<uint64_t>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

std::string Utc(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

// The leaf, under which roots, and in which role it came.
std::string KeyOf(X509* leaf, std::string_view roots_id, bool peer_is_client) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (leaf == nullptr || X509_digest(leaf, EVP_sha256(), digest, &size) != 1) return "";
  std::string key(reinterpret_cast<const char*>(digest), size);
  key += roots_id;
  key += peer_is_client ? 'c' : 's';
  return key;
}

absl::StatusOr<std::shared_ptr<Peer>> PeerOf(STACK_OF(X509) * chain) {
  auto peer = std::make_shared<Peer>();
  peer->not_before = absl::InfinitePast();
  peer->not_after = absl::InfiniteFuture();
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* certificate = sk_X509_value(chain, i);
    ASSIGN_OR_RETURN(const Validity validity, ValidityOf(*certificate));
    peer->not_before = std::max(peer->not_before, validity.not_before);
    peer->not_after = std::min(peer->not_after, validity.not_after);
    X509_up_ref(certificate);
    peer->chain.emplace_back(certificate);
  }
  if (peer->chain.empty()) return Invalid("no chain");
  for (const std::string& name : UriNames(*peer->chain.front())) {
    if (auto id = Identity::Parse(name); id.ok()) peer->ids.push_back(*std::move(id));
  }
  return peer;
}

// Why OpenSSL refuses; for times, both clocks.
std::string WhyRefused(X509_STORE_CTX* context, absl::Time now) {
  const int error = X509_STORE_CTX_get_error(context);
  std::string why = X509_verify_cert_error_string(error);
  const X509* certificate = X509_STORE_CTX_get_current_cert(context);
  if (certificate != nullptr &&
      (error == X509_V_ERR_CERT_NOT_YET_VALID || error == X509_V_ERR_CERT_HAS_EXPIRED)) {
    if (const auto validity = ValidityOf(*certificate); validity.ok()) {
      why += fmt::format(" (valid from {} to {}, our clock says {})", Utc(validity->not_before),
                         Utc(validity->not_after), Utc(now));
    }
  }
  return why;
}

}  // namespace

void PeerVerifier::SetRevocations(RevocationListsRef lists) {
  revocations_ = std::move(lists);
  by_key_.clear();
  entries_.clear();
  counters_.entries.store(0, std::memory_order_relaxed);
}

std::string PeerVerifier::RevokedOf(const Peer& peer) const {
  return revocations_ == nullptr ? "" : revocations_->Check(peer.chain).revoked;
}

void PeerVerifier::CountRevoked(bool peer_is_client) { Bump(counters_.revoked[peer_is_client]); }

PeerVerifier::Answer PeerVerifier::Judge(X509_STORE_CTX* context, std::string_view roots_id,
                                         bool peer_is_client) {
  const absl::Time now = options_.now();
  std::string key = KeyOf(X509_STORE_CTX_get0_cert(context), roots_id, peer_is_client);
  if (PeerRef peer = Remembered(key, now)) {
    Bump(counters_.remembered);
    return {std::move(peer), "", false};
  }
  Answer answer = Verify(context, now, peer_is_client);
  if (answer.peer != nullptr && !key.empty()) Remember(std::move(key), answer.peer);
  return answer;
}

PeerVerifier::Answer PeerVerifier::Verify(X509_STORE_CTX* context, absl::Time now,
                                          bool peer_is_client) {
  Bump(counters_.verified);
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), absl::ToTimeT(now));
  if (X509_verify_cert(context) != 1) return {nullptr, WhyRefused(context, now), false};
  absl::StatusOr<std::shared_ptr<Peer>> peer = PeerOf(X509_STORE_CTX_get0_chain(context));
  if (!peer.ok()) return {nullptr, std::string(MessageOf(peer.status())), false};
  if (revocations_ == nullptr) {
    (*peer)->chain.clear();
    return {*std::move(peer), "", false};
  }
  const RevocationLists::Verdict verdict = revocations_->Check((*peer)->chain);
  if (!verdict.revoked.empty()) {
    CountRevoked(peer_is_client);
    return {nullptr, fmt::format("its certificate {} was revoked", verdict.revoked), true};
  }
  if (!verdict.covered) Bump(counters_.uncovered[peer_is_client]);
  return {*std::move(peer), "", false};
}

PeerRef PeerVerifier::Remembered(const std::string& key, absl::Time now) {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return nullptr;
  const PeerRef& peer = it->second->peer;
  if (now < peer->not_before || now >= peer->not_after) return nullptr;
  entries_.splice(entries_.begin(), entries_, it->second);
  return peer;
}

void PeerVerifier::Remember(std::string key, PeerRef peer) {
  if (options_.remembered == 0) return;
  if (const auto it = by_key_.find(key); it != by_key_.end()) {
    it->second->peer = std::move(peer);
    return;
  }
  if (entries_.size() >= options_.remembered) {
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
    Bump(counters_.forgotten);
  }
  entries_.push_front({key, std::move(peer)});
  by_key_.emplace(std::move(key), entries_.begin());
  counters_.entries.store(entries_.size(), std::memory_order_relaxed);
}

void PeerQuestion::Attach(SSL* ssl) { SSL_set_ex_data(ssl, QuestionIndex(), this); }

void PeerQuestion::Enable(SSL_CTX* context) {
  SSL_CTX_set_cert_verify_callback(context, &PeerQuestion::OnChain, nullptr);
}

bool PeerQuestion::StillGood() {
  const std::string serial = verifier_.RevokedOf(*answer_.peer);
  if (serial.empty()) return true;
  verifier_.CountRevoked(peer_is_client_);
  answer_ = {nullptr, fmt::format("its certificate {} was revoked", serial), true};
  return false;
}

int PeerQuestion::OnChain(X509_STORE_CTX* context, void*) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* question = static_cast<PeerQuestion*>(SSL_get_ex_data(ssl, QuestionIndex()));
  if (question == nullptr) return X509_verify_cert(context) == 1 ? 1 : 0;
  return question->Ask(context);
}

// The error decides which alert the peer gets.
int PeerQuestion::Ask(X509_STORE_CTX* context) {
  answer_ = verifier_.Judge(context, roots_id_, peer_is_client_);
  if (answer_.peer == nullptr) {
    if (answer_.revoked) {
      X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REVOKED);
    } else if (X509_STORE_CTX_get_error(context) == X509_V_OK) {
      X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REJECTED);
    }
    return 0;
  }
  if (accept_(*answer_.peer)) return 1;
  answer_.peer = nullptr;
  not_accepted_ = true;
  X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REJECTED);
  return 0;
}

}  // namespace mesh::identity
