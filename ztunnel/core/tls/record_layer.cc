#include "ztunnel/core/tls/record_layer.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <utility>

#include "ztunnel/base/status.h"

namespace mesh::tls {
namespace {

constexpr size_t kMaxSealed = RecordLayer::kMaxText + 256;  // RFC 8446, section 5.2
constexpr size_t kHandshakeHeader = 4;
constexpr uint8_t kKeyUpdate = 24;
constexpr uint8_t kNewSessionTicket = 4;
constexpr uint8_t kWarning = 1, kFatal = 2;
constexpr uint8_t kCloseNotify = 0;

uint8_t Byte(std::byte b) { return std::to_integer<uint8_t>(b); }

size_t LengthOf(std::span<const std::byte> record) {
  return size_t{Byte(record[3])} << 8 | Byte(record[4]);
}

const uint8_t* Raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

// RFC 8446, section 5.3.
std::array<uint8_t, 12> NonceOf(const std::array<uint8_t, 12>& iv, uint64_t sequence) {
  std::array<uint8_t, 12> nonce = iv;
  for (size_t i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<uint8_t>(sequence >> (8 * i));
  return nonce;
}

void PutHeader(uint8_t* out, size_t sealed) {
  out[0] = static_cast<uint8_t>(ContentType::kApplicationData);
  out[1] = 3;
  out[2] = 3;
  out[3] = static_cast<uint8_t>(sealed >> 8);
  out[4] = static_cast<uint8_t>(sealed);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RecordLayer>> RecordLayer::Create(const CipherSuite& suite,
                                                                 const Secrets& secrets) {
  if (secrets.read.empty() || secrets.write.empty()) {
    return Internal("the handshake ended without traffic secrets");
  }
  std::unique_ptr<RecordLayer> layer(new RecordLayer(suite));
  layer->read_.secret = secrets.read;
  layer->write_.secret = secrets.write;
  RETURN_IF_ERROR(layer->Rekey(layer->read_, false));
  RETURN_IF_ERROR(layer->Rekey(layer->write_, true));
  return layer;
}

absl::Status RecordLayer::Rekey(Direction& direction, bool sealing) {
  RecordKey key;
  RETURN_IF_ERROR(DeriveKey(suite_, direction.secret, key));
  ASSIGN_OR_RETURN(direction.aead, MakeAead(suite_, key, sealing));
  direction.iv = key.iv;
  direction.sequence = 0;
  return absl::OkStatus();
}

absl::Status RecordLayer::Fail(uint8_t alert, std::string_view why, net::Buffer& wire_out) {
  if (!closed_) {
    const std::byte content[] = {std::byte{kFatal}, std::byte{alert}};
    closed_ = true;
    RETURN_IF_ERROR(SealOne(ContentType::kAlert, content, wire_out));
  }
  return Unauthenticated("TLS read: {}", why);
}

absl::Status RecordLayer::Open(std::span<const std::byte> wire, net::Buffer& plain,
                               net::Buffer& wire_out) {
  while (!wire.empty() && !peer_closed_) {
    // A record that began in an earlier read is completed in a buffer, the others where they lie.
    const std::span<const std::byte> held = partial_.data();
    const size_t have = held.size() + wire.size();
    size_t need = kHeader;
    if (have >= kHeader) {
      std::array<std::byte, kHeader> header;
      for (size_t i = 0; i < kHeader; ++i) {
        header[i] = i < held.size() ? held[i] : wire[i - held.size()];
      }
      if (header[0] != std::byte{static_cast<uint8_t>(ContentType::kApplicationData)}) {
        return Fail(SSL_AD_UNEXPECTED_MESSAGE, "a record that is not encrypted", wire_out);
      }
      if (LengthOf(header) > kMaxSealed) {
        return Fail(SSL_AD_RECORD_OVERFLOW, "a record longer than allowed", wire_out);
      }
      if (LengthOf(header) <= kTagBytes) {
        return Fail(SSL_AD_DECODE_ERROR, "a record without content", wire_out);
      }
      need = kHeader + LengthOf(header);
    }
    if (have < need) {
      partial_.Append(wire);
      return absl::OkStatus();
    }
    const size_t taken = need - held.size();
    if (held.empty()) {
      RETURN_IF_ERROR(TakeRecord(wire.first(need), plain, wire_out));
    } else {
      partial_.Append(wire.first(taken));
      RETURN_IF_ERROR(TakeRecord(partial_.data(), plain, wire_out));
      partial_.Free();
    }
    wire = wire.subspan(taken);
  }
  return absl::OkStatus();
}

absl::Status RecordLayer::TakeRecord(std::span<const std::byte> record, net::Buffer& plain,
                                     net::Buffer& wire_out) {
  const size_t sealed = record.size() - kHeader;
  const auto nonce = NonceOf(read_.iv, read_.sequence++);
  const std::span<std::byte> room = plain.Reserve(sealed);
  auto* text = reinterpret_cast<uint8_t*>(room.data());
  if (!read_.aead->Open(nonce, {Raw(record), kHeader}, {Raw(record) + kHeader, sealed}, text)) {
    return Fail(SSL_AD_BAD_RECORD_MAC, "a record that is not authentic", wire_out);
  }
  // The content's type is the last byte that is not padding.
  size_t n = sealed - kTagBytes;
  while (n > 0 && text[n - 1] == 0) --n;
  if (n == 0) return Fail(SSL_AD_UNEXPECTED_MESSAGE, "a record without a type", wire_out);
  const auto type = static_cast<ContentType>(text[--n]);
  if (n > kMaxText) return Fail(SSL_AD_RECORD_OVERFLOW, "a record longer than allowed", wire_out);
  if (type == ContentType::kApplicationData && ticket_left_ == 0 && handshake_start_.empty()) {
    plain.Commit(n);
    if (n > 0) {
      control_records_ = 0;
      return absl::OkStatus();
    }
  }
  if (++control_records_ > kMaxControlRecords) {
    return Fail(SSL_AD_UNEXPECTED_MESSAGE, "too many records without data", wire_out);
  }
  if (type == ContentType::kApplicationData && n == 0) return absl::OkStatus();
  return TakeControl(type, room.first(n), wire_out);
}

absl::Status RecordLayer::TakeControl(ContentType type, std::span<const std::byte> content,
                                      net::Buffer& wire_out) {
  if (type == ContentType::kAlert) return TakeAlert(content, wire_out);
  if (type == ContentType::kHandshake && !content.empty()) return TakeHandshake(content, wire_out);
  return Fail(SSL_AD_UNEXPECTED_MESSAGE, "a record of an unexpected type", wire_out);
}

absl::Status RecordLayer::TakeAlert(std::span<const std::byte> content, net::Buffer& wire_out) {
  if (content.size() != 2) return Fail(SSL_AD_DECODE_ERROR, "a malformed alert", wire_out);
  const uint8_t description = Byte(content[1]);
  if (description == kCloseNotify) {
    peer_closed_ = true;
    return absl::OkStatus();
  }
  closed_ = true;  // every other alert ends both directions (RFC 8446, section 6)
  return Unauthenticated("TLS read: the peer's alert: {}", SSL_alert_desc_string_long(description));
}

absl::Status RecordLayer::TakeHandshake(std::span<const std::byte> content, net::Buffer& wire_out) {
  while (!content.empty()) {
    if (ticket_left_ > 0) {
      const size_t n = std::min(ticket_left_, content.size());
      ticket_left_ -= n;
      content = content.subspan(n);
      continue;
    }
    const size_t missing = kHandshakeHeader - handshake_start_.size();
    const size_t n = std::min(missing, content.size());
    handshake_start_.Append(content.first(n));
    content = content.subspan(n);
    if (n < missing) return absl::OkStatus();
    const std::span<const std::byte> head = handshake_start_.data();
    const uint8_t type = Byte(head[0]);
    const size_t length = size_t{Byte(head[1])} << 16 | size_t{Byte(head[2])} << 8 | Byte(head[3]);
    handshake_start_.Free();
    if (type == kNewSessionTicket && length <= kMaxText) {
      ticket_left_ = length;
      continue;
    }
    // It changes the key, so it ends its record (section 5.1); no peer of ours cuts five bytes.
    if (type == kKeyUpdate && length == 1 && content.size() == 1) {
      return TakeKeyUpdate(content[0], wire_out);
    }
    return Fail(SSL_AD_UNEXPECTED_MESSAGE, "an unexpected message after the handshake", wire_out);
  }
  return absl::OkStatus();
}

absl::Status RecordLayer::TakeKeyUpdate(std::byte request, net::Buffer& wire_out) {
  if (Byte(request) > 1) {
    return Fail(SSL_AD_ILLEGAL_PARAMETER, "a malformed KeyUpdate", wire_out);
  }
  RETURN_IF_ERROR(NextSecret(suite_, read_.secret));
  RETURN_IF_ERROR(Rekey(read_, false));
  if (Byte(request) == 1 && !closed_) return UpdateKey(false, wire_out);
  return absl::OkStatus();
}

absl::Status RecordLayer::UpdateKey(bool ask, net::Buffer& wire_out) {
  const std::byte message[] = {std::byte{kKeyUpdate}, std::byte{0}, std::byte{0}, std::byte{1},
                               std::byte{ask}};
  RETURN_IF_ERROR(SealOne(ContentType::kHandshake, message, wire_out));
  RETURN_IF_ERROR(NextSecret(suite_, write_.secret));
  return Rekey(write_, true);
}

absl::Status RecordLayer::SealOne(ContentType type, std::span<const std::byte> text,
                                  net::Buffer& wire_out) {
  const size_t sealed = text.size() + 1 + kTagBytes;
  const std::span<std::byte> room = wire_out.Reserve(kHeader + sealed);
  auto* out = reinterpret_cast<uint8_t*>(room.data());
  PutHeader(out, sealed);
  const auto nonce = NonceOf(write_.iv, write_.sequence++);
  if (!write_.aead->Seal(nonce, {out, kHeader}, {Raw(text), text.size()},
                         static_cast<uint8_t>(type), out + kHeader)) {
    closed_ = true;
    return Internal("TLS write: a record could not be sealed");
  }
  wire_out.Commit(kHeader + sealed);
  return absl::OkStatus();
}

absl::Status RecordLayer::Seal(std::span<const std::byte> plain, net::Buffer& wire_out) {
  if (closed_) return FailedPrecondition("TLS write after the end");
  while (!plain.empty()) {
    if (write_.sequence >= kRecordsPerKey) RETURN_IF_ERROR(UpdateKey(false, wire_out));
    const size_t n = std::min(plain.size(), kMaxText);
    RETURN_IF_ERROR(SealOne(ContentType::kApplicationData, plain.first(n), wire_out));
    plain = plain.subspan(n);
  }
  return absl::OkStatus();
}

void RecordLayer::Close(net::Buffer& wire_out) {
  if (std::exchange(closed_, true)) return;
  const std::byte content[] = {std::byte{kWarning}, std::byte{kCloseNotify}};
  // A record that cannot be sealed leaves the peer without a farewell, which it must expect.
  SealOne(ContentType::kAlert, content, wire_out).IgnoreError();
}

}  // namespace mesh::tls
