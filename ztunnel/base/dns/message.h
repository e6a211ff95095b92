// DNS messages as far as a name service of addresses needs them: queries in, answers with addresses
// out (RFC 1035, RFC 6891). What is forwarded is never re-encoded.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/base/ip.h"

namespace mesh::dns {

using Bytes = std::span<const std::byte>;

inline constexpr uint16_t kTypeA = 1;
inline constexpr uint16_t kTypeAaaa = 28;
inline constexpr uint16_t kClassIn = 1;
inline constexpr size_t kHeaderBytes = 12;
inline constexpr size_t kMaxUdpBytes = 4096;
inline constexpr size_t kMaxTcpBytes = 65535;

enum class Rcode : uint8_t {
  kNoError = 0,
  kFormatError = 1,
  kServerFailure = 2,
  kNameError = 3  // there is no such name
};

struct Query {
  uint16_t id = 0;
  uint8_t opcode = 0;
  bool recursion_desired = false;
  // Lower case, without the final dot. Meaningful when `plain`: each label is letters, digits, '-',
  // '_' or '*'. Other names are legal and never ours.
  std::string name;
  bool plain = false;
  uint16_t type = 0;
  uint16_t qclass = 0;
  size_t question_end = 0;                 // offset in the message after the one question
  std::optional<uint16_t> edns_udp_bytes;  // of the OPT record, when there is one

  // What an answer over UDP may take.
  size_t UdpLimit() const;
};

// A query with exactly one question, no answers, uncompressed name. InvalidArgument says what is
// wrong.
absl::StatusOr<Query> ParseQuery(Bytes message);

struct Answer {
  Rcode rcode = Rcode::kNoError;
  bool authoritative = false;
  std::string cname = {};                 // empty: the addresses belong to the asked name
  std::vector<IpAddress> addresses = {};  // those of the asked family are written
  uint32_t ttl_seconds = 30;
};

// The answer to `message`, which `query` was parsed from: records that do not fit into `limit`
// bytes are left out and TC is set.
std::string BuildAnswer(Bytes message, const Query& query, const Answer& answer, size_t limit);
// For messages whose question cannot be read: FORMERR with the header alone. Nothing for what is no
// query or has no header.
std::optional<std::string> BuildFormatError(Bytes message);

// Whether `response` answers `request`: same id, QR set, same question (names compared without
// case).
bool Answers(Bytes response, Bytes request, const Query& query);

// For metrics: "A", "AAAA" and others of a closed list; the rest is "OTHER".
std::string_view TypeName(uint16_t type);

}  // namespace mesh::dns
