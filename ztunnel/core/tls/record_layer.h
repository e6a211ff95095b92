// The record protocol of TLS 1.3 (RFC 8446, section 5) after the handshake, without I/O: records
// are opened straight from the bytes that were read, and sealed straight into those to be sent.
//
// Owner: a Session that has finished its handshake. Thread: its own. An error is final: `wire_out`
// holds the alert for the peer; the layer is dead. Bounded: one record that has arrived in part
// (16 KiB and a little), and kMaxControlRecords records in a row that carry no data.
// Keys: a peer's KeyUpdate is followed and answered; our own comes before 2^24 records, well under
// AES-GCM's limit (section 5.5). New tickets are ignored: there is no resumption. Every other
// message after the handshake is refused.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <span>

#include "ztunnel/core/net/buffer.h"
#include "ztunnel/core/tls/aead.h"

namespace mesh::tls {

// What a peer sends as the payload of a record.
enum class ContentType : uint8_t {
  kChangeCipherSpec = 20,
  kAlert = 21,
  kHandshake = 22,
  kApplicationData = 23,
};

class RecordLayer {
 public:
  static constexpr size_t kMaxText = 16 << 10;
  static constexpr size_t kHeader = 5;
  static constexpr int kMaxControlRecords = 32;
  static constexpr uint64_t kRecordsPerKey = uint64_t{1} << 24;

  struct Secrets {
    identity::TrafficSecret read;
    identity::TrafficSecret write;
  };
  static absl::StatusOr<std::unique_ptr<RecordLayer>> Create(const CipherSuite& suite,
                                                             const Secrets& secrets);

  // Takes all of `wire`; appends what was in it to `plain`, and to `wire_out` what the peer must
  // get.
  absl::Status Open(std::span<const std::byte> wire, net::Buffer& plain, net::Buffer& wire_out);
  // In whole records of kMaxText, the last one shorter.
  absl::Status Seal(std::span<const std::byte> plain, net::Buffer& wire_out);
  // close_notify; nothing may be sealed after it.
  void Close(net::Buffer& wire_out);
  bool peer_closed() const { return peer_closed_; }

  // The next record is sealed with a new key, and with `ask` the peer's next ones too.
  absl::Status UpdateKey(bool ask, net::Buffer& wire_out);

 private:
  struct Direction {
    identity::TrafficSecret secret;
    std::array<uint8_t, 12> iv{};
    uint64_t sequence = 0;
    std::unique_ptr<Aead> aead;
  };

  explicit RecordLayer(const CipherSuite& suite) : suite_(suite) {}
  absl::Status Rekey(Direction& direction, bool sealing);
  absl::Status TakeRecord(std::span<const std::byte> record, net::Buffer& plain,
                          net::Buffer& wire_out);
  absl::Status TakeControl(ContentType type, std::span<const std::byte> content,
                           net::Buffer& wire_out);
  absl::Status TakeAlert(std::span<const std::byte> content, net::Buffer& wire_out);
  absl::Status TakeHandshake(std::span<const std::byte> content, net::Buffer& wire_out);
  absl::Status TakeKeyUpdate(std::byte request, net::Buffer& wire_out);
  absl::Status SealOne(ContentType type, std::span<const std::byte> text, net::Buffer& wire_out);
  absl::Status Fail(uint8_t alert, std::string_view why, net::Buffer& wire_out);

  const CipherSuite suite_;
  Direction read_;
  Direction write_;
  net::Buffer partial_;          // the beginning of a record
  size_t ticket_left_ = 0;       // of a NewSessionTicket that is being skipped
  net::Buffer handshake_start_;  // the beginning of a message that a record cut
  int control_records_ = 0;
  bool peer_closed_ = false;
  bool closed_ = false;
};

}  // namespace mesh::tls
