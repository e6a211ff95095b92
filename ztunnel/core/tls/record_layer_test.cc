#include "ztunnel/core/tls/record_layer.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>

#include <string>

#include "ztunnel/core/identity/local_authority.h"
#include "ztunnel/core/tls/record_for_test.h"
#include "ztunnel/core/tls/session.h"

namespace mesh::tls {
namespace {

const identity::Identity kUs{"cluster.local", "default", "us"};
const identity::Identity kThem{"cluster.local", "default", "them"};

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string Text(const net::Buffer& buffer) {
  return std::string(reinterpret_cast<const char*>(buffer.data().data()), buffer.size());
}
std::string Pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 % 253);
  return text;
}

// Our session against a peer that is OpenSSL to the end.
class AgainstOpenssl : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto theirs = *ca_.Issue(kThem);
    ssl_ = SSL_new(theirs->server_context());
    ASSERT_EQ(SSL_set_ciphersuites(ssl_, GetParam()), 1);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_accept_state(ssl_);
    us_ = *Session::Client(*ca_.Issue(kUs), {kThem}, verifier_);
    net::Buffer wire;
    ASSERT_TRUE(us_->Start(wire).ok());
    for (int i = 0; i < 4; ++i) {
      Deliver(wire);
      SSL_do_handshake(ssl_);
      ASSERT_TRUE(Receive(wire).ok());
    }
    ASSERT_TRUE(us_->established());
    ASSERT_EQ(SSL_is_init_finished(ssl_), 1);
  }
  void TearDown() override { SSL_free(ssl_); }

  void Deliver(net::Buffer& wire) {
    if (!wire.empty()) BIO_write(in_, wire.data().data(), static_cast<int>(wire.size()));
    wire.Clear();
  }
  // What the peer has written comes to us, in pieces of `piece`.
  absl::Status Receive(net::Buffer& answer, size_t piece = 1'000'000) {
    std::string wire(static_cast<size_t>(BIO_pending(out_)), '\0');
    if (wire.empty()) return absl::OkStatus();
    BIO_read(out_, wire.data(), static_cast<int>(wire.size()));
    for (size_t at = 0; at < wire.size(); at += piece) {
      const auto part = std::string_view(wire).substr(at, piece);
      if (absl::Status s = us_->Open(Bytes(part), plain_, answer); !s.ok()) return s;
    }
    return absl::OkStatus();
  }
  std::string PeerReads() {
    std::string got, chunk(20'000, '\0');
    int n = 0;
    while ((n = SSL_read(ssl_, chunk.data(), static_cast<int>(chunk.size()))) > 0) {
      got.append(chunk, 0, static_cast<size_t>(n));
    }
    return got;
  }

  identity::PeerVerifier verifier_;
  identity::LocalAuthority ca_;
  SSL* ssl_ = nullptr;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  std::unique_ptr<Session> us_;
  net::Buffer plain_;
};

TEST_P(AgainstOpenssl, BytesGoBothWaysInAnyPieces) {
  const std::string text = Pattern(300'001);
  net::Buffer wire;
  ASSERT_TRUE(us_->Seal(Bytes(text), wire).ok());
  Deliver(wire);
  EXPECT_EQ(PeerReads(), text);
  for (size_t piece : {1'000'000, 16'406, 4096, 7, 1}) {
    plain_.Clear();
    ASSERT_EQ(SSL_write(ssl_, text.data(), 50'000), 50'000);
    ASSERT_TRUE(Receive(wire, piece).ok());
    EXPECT_EQ(Text(plain_), text.substr(0, 50'000)) << piece;
  }
}

TEST_P(AgainstOpenssl, KeysAreUpdatedAsEitherSideAsks) {
  net::Buffer wire;
  for (int round = 0; round < 3; ++round) {
    for (int ask : {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED}) {
      ASSERT_EQ(SSL_key_update(ssl_, ask), 1);
      ASSERT_EQ(SSL_write(ssl_, "theirs", 6), 6);
      plain_.Clear();
      ASSERT_TRUE(Receive(wire, 3).ok());
      EXPECT_EQ(Text(plain_), "theirs");
      ASSERT_TRUE(us_->Seal(Bytes("ours"), wire).ok());
      Deliver(wire);
      EXPECT_EQ(PeerReads(), "ours");
    }
  }
}

TEST_P(AgainstOpenssl, TicketsAreIgnored) {
  net::Buffer wire;
  ASSERT_EQ(SSL_new_session_ticket(ssl_), 1);
  ASSERT_EQ(SSL_write(ssl_, "after", 5), 5);
  ASSERT_TRUE(Receive(wire, 11).ok());
  EXPECT_EQ(Text(plain_), "after");
}

TEST_P(AgainstOpenssl, FarewellsAreUnderstoodOnBothSides) {
  net::Buffer wire;
  us_->Close(wire);
  EXPECT_FALSE(us_->Seal(Bytes("x"), wire).ok());
  Deliver(wire);
  EXPECT_EQ(PeerReads(), "");
  EXPECT_TRUE(SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN);
  SSL_shutdown(ssl_);
  ASSERT_TRUE(Receive(wire).ok());
  EXPECT_TRUE(us_->peer_closed());
}

TEST_P(AgainstOpenssl, AForgedRecordIsAnErrorOnBothSides) {
  net::Buffer wire;
  ASSERT_EQ(SSL_write(ssl_, "genuine", 7), 7);
  std::string forged(static_cast<size_t>(BIO_pending(out_)), '\0');
  BIO_read(out_, forged.data(), static_cast<int>(forged.size()));
  forged[9] ^= 1;
  const absl::Status status = us_->Open(Bytes(forged), plain_, wire);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(plain_.empty());
  Deliver(wire);  // the alert
  char byte = 0;
  EXPECT_LE(SSL_read(ssl_, &byte, 1), 0);
  EXPECT_EQ(SSL_get_error(ssl_, 0), SSL_ERROR_SSL);
}

INSTANTIATE_TEST_SUITE_P(Suites, AgainstOpenssl,
                         testing::Values("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"));

// A layer whose peer's secret the test has: what OpenSSL would not send.
struct Layers {
  std::string Record(std::string_view inner, uint64_t sequence) const {
    return SealedRecordForTest(suite, theirs, sequence, inner);
  }
  absl::Status Take(const std::string& wire) { return ours->Open(Bytes(wire), plain, answer); }

  const CipherSuite suite{Cipher::kAes128Gcm, EVP_sha256()};
  const identity::TrafficSecret theirs = SecretForTest(1);
  std::unique_ptr<RecordLayer> ours = *RecordLayer::Create(suite, {theirs, SecretForTest(2)});
  net::Buffer plain, answer;
};

TEST(RecordLayer, PaddingIsTakenOff) {
  Layers l;
  ASSERT_TRUE(l.Take(l.Record(std::string("text\x17\0\0\0", 8), 0)).ok());
  EXPECT_EQ(Text(l.plain), "text");
}

TEST(RecordLayer, WhatMayNotComeIsRefusedWithAnAlert) {
  const std::string too_long(RecordLayer::kMaxText + 1, 'x');
  const std::string refused[] = {
      std::string("\0\0\0", 3),                         // no type
      std::string("x\x14", 2),                          // ChangeCipherSpec
      std::string("x\x16", 2) + std::string("y"),       // a type that there is not
      std::string("\x16", 1),                           // an empty handshake record
      std::string("\x01\0\0\0\x16", 5),                 // a ClientHello
      std::string("\x18\0\0\x01\x02\x16", 6),           // KeyUpdate, malformed
      std::string("\x18\0\0\x01\0\x04\0\0\0\x16", 10),  // KeyUpdate, not the last of its record
      std::string("\x02\x15", 2),                       // half an alert
      too_long + '\x17',                                // too much text
  };
  for (const std::string& content : refused) {
    Layers l;
    EXPECT_EQ(l.Take(l.Record(content, 0)).code(), absl::StatusCode::kUnauthenticated)
        << testing::PrintToString(content.substr(0, 12));
    EXPECT_FALSE(l.answer.empty());
  }
}

TEST(RecordLayer, AMessageAcrossRecordsIsNotInterruptedByData) {
  Layers l;
  ASSERT_TRUE(l.Take(l.Record(std::string("\x04\0\0\x05"
                                          "ab\x16",
                                          7),
                              0))
                  .ok());
  EXPECT_FALSE(l.Take(l.Record("data\x17", 1)).ok());
}

TEST(RecordLayer, HeadersThatCannotBeAreRefusedBeforeTheirBodyCame) {
  for (const char* header :
       {"\x16\x03\x03\x00\x30", "\x17\x03\x03\x41\x01", "\x17\x03\x03\x00\x10"}) {
    Layers l;
    EXPECT_FALSE(l.Take(std::string(header, 5)).ok());
  }
}

TEST(RecordLayer, RecordsWithoutDataAreLimited) {
  Layers l;
  uint64_t i = 0;
  for (; i < RecordLayer::kMaxControlRecords; ++i) {
    ASSERT_TRUE(l.Take(l.Record("\x17", i)).ok()) << i;
  }
  EXPECT_FALSE(l.Take(l.Record("\x17", i)).ok());
}

TEST(RecordLayer, BothCiphersImplementationsAgree) {
  for (Cipher cipher : {Cipher::kAes128Gcm, Cipher::kAes256Gcm, Cipher::kChaCha20Poly1305}) {
    CipherSuite suite{cipher, EVP_sha256()};
    RecordKey key;
    key.key.fill(7);
    key.iv.fill(9);
    const std::string text = Pattern(16'000);
    const auto* raw = reinterpret_cast<const uint8_t*>(text.data());
    const uint8_t header[5] = {23, 3, 3, 1, 2};
    for (size_t size : {0, 1, 15, 16, 100, 16'000}) {
      std::vector<uint8_t> a(size + 17), b(size + 17), back(size + 17);
      ASSERT_TRUE((*MakeAead(suite, key, true))->Seal(key.iv, header, {raw, size}, 23, a.data()));
      ASSERT_TRUE(
          (*MakeEvpAead(suite, key, true))->Seal(key.iv, header, {raw, size}, 23, b.data()));
      EXPECT_EQ(a, b);
      EXPECT_TRUE((*MakeAead(suite, key, false))->Open(key.iv, header, b, back.data()));
      EXPECT_TRUE((*MakeEvpAead(suite, key, false))->Open(key.iv, header, a, back.data()));
      a.back() ^= 1;
      EXPECT_FALSE((*MakeAead(suite, key, false))->Open(key.iv, header, a, back.data()));
    }
  }
}

}  // namespace
}  // namespace mesh::tls
