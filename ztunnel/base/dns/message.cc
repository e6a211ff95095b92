#include "ztunnel/base/dns/message.h"

#include <algorithm>

#include "ztunnel/base/status.h"

namespace mesh::dns {
namespace {

constexpr uint16_t kFlagResponse = 0x8000;
constexpr uint16_t kFlagAuthoritative = 0x0400;
constexpr uint16_t kFlagTruncated = 0x0200;
constexpr uint16_t kFlagRecursionDesired = 0x0100;
constexpr uint16_t kFlagRecursionAvailable = 0x0080;
constexpr uint16_t kTypeCname = 5;
constexpr uint16_t kTypeOpt = 41;
constexpr size_t kOptBytes = 11;
constexpr uint16_t kOurUdpBytes = 1232;

uint8_t At(Bytes m, size_t i) { return std::to_integer<uint8_t>(m[i]); }
uint16_t At16(Bytes m, size_t i) { return static_cast<uint16_t>(At(m, i) << 8 | At(m, i + 1)); }

void Put16(std::string& out, uint16_t v) {
  out.push_back(static_cast<char>(v >> 8));
  out.push_back(static_cast<char>(v));
}
void Put32(std::string& out, uint32_t v) {
  Put16(out, static_cast<uint16_t>(v >> 16));
  Put16(out, static_cast<uint16_t>(v));
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '*';
}

// Skips a name, which may end in a pointer; nothing when it runs out of the message.
std::optional<size_t> SkipName(Bytes m, size_t at) {
  while (at < m.size()) {
    const uint8_t length = At(m, at);
    if (length == 0) return at + 1;
    if ((length & 0xc0) == 0xc0) return at + 2 <= m.size() ? std::optional(at + 2) : std::nullopt;
    if (length > 63) return std::nullopt;
    at += 1 + length;
  }
  return std::nullopt;
}

absl::Status ParseQuestion(Bytes m, Query& query) {
  size_t at = kHeaderBytes;
  query.plain = true;
  while (true) {
    if (at >= m.size()) return Invalid("name of the question is cut off");
    const uint8_t length = At(m, at);
    if (length == 0) break;
    if (length > 63) return Invalid("label length {} in the question", length);
    if (at + 1 + length >= m.size()) return Invalid("name of the question is cut off");
    if (at + 1 + length - kHeaderBytes > 254) return Invalid("name of the question is too long");
    if (!query.name.empty()) query.name.push_back('.');
    for (size_t i = 0; i < length; ++i) {
      const char c = Lower(static_cast<char>(At(m, at + 1 + i)));
      query.plain = query.plain && IsPlain(c);
      query.name.push_back(c);
    }
    at += 1 + length;
  }
  ++at;
  if (at + 4 > m.size()) return Invalid("question without type and class");
  query.type = At16(m, at);
  query.qclass = At16(m, at + 2);
  query.question_end = at + 4;
  return absl::OkStatus();
}

absl::Status ParseAdditional(Bytes m, uint16_t count, Query& query) {
  size_t at = query.question_end;
  for (uint16_t i = 0; i < count; ++i) {
    const auto after_name = SkipName(m, at);
    if (!after_name || *after_name + 10 > m.size()) return Invalid("additional record is cut off");
    const uint16_t type = At16(m, *after_name);
    const uint16_t length = At16(m, *after_name + 8);
    if (*after_name + 10 + length > m.size()) return Invalid("additional record is cut off");
    if (type == kTypeOpt) {
      if (*after_name != at + 1) return Invalid("OPT record with a name");
      if (query.edns_udp_bytes) return Invalid("two OPT records");
      query.edns_udp_bytes = At16(m, *after_name + 2);
    }
    at = *after_name + 10 + length;
  }
  return absl::OkStatus();
}

std::string EncodeName(std::string_view name) {
  std::string out;
  while (!name.empty()) {
    const size_t dot = std::min(name.find('.'), name.size());
    out.push_back(static_cast<char>(dot));
    out += name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  out.push_back('\0');
  return out;
}

void PutHeader(std::string& out, uint16_t id, uint16_t flags, uint16_t questions) {
  Put16(out, id);
  Put16(out, flags);
  Put16(out, questions);
  Put16(out, 0);
  Put16(out, 0);
  Put16(out, 0);
}

}  // namespace

size_t Query::UdpLimit() const {
  if (!edns_udp_bytes) return 512;
  return std::clamp<size_t>(*edns_udp_bytes, 512, kMaxUdpBytes);
}

absl::StatusOr<Query> ParseQuery(Bytes m) {
  if (m.size() < kHeaderBytes) return Invalid("message of {} bytes has no header", m.size());
  const uint16_t flags = At16(m, 2);
  if (flags & kFlagResponse) return Invalid("not a query");
  Query query;
  query.id = At16(m, 0);
  query.opcode = static_cast<uint8_t>(flags >> 11 & 0xf);
  query.recursion_desired = (flags & kFlagRecursionDesired) != 0;
  if (At16(m, 4) != 1) return Invalid("{} questions", At16(m, 4));
  if (At16(m, 6) != 0 || At16(m, 8) != 0) return Invalid("a query with answers");
  RETURN_IF_ERROR(ParseQuestion(m, query));
  RETURN_IF_ERROR(ParseAdditional(m, At16(m, 10), query));
  return query;
}

std::string BuildAnswer(Bytes message, const Query& query, const Answer& answer, size_t limit) {
  std::string out;
  uint16_t flags = kFlagResponse | kFlagRecursionAvailable | static_cast<uint16_t>(answer.rcode);
  flags |= static_cast<uint16_t>(query.opcode << 11);
  if (query.recursion_desired) flags |= kFlagRecursionDesired;
  if (answer.authoritative) flags |= kFlagAuthoritative;
  PutHeader(out, query.id, flags, 1);
  out.append(reinterpret_cast<const char*>(message.data()) + kHeaderBytes,
             query.question_end - kHeaderBytes);

  const size_t room = limit - (query.edns_udp_bytes ? kOptBytes : 0);
  uint16_t owner = 0xc000 | kHeaderBytes;  // a pointer to the question's name
  uint16_t answers = 0;
  bool truncated = false;
  const auto put_record = [&](uint16_t type, std::string_view data) {
    if (truncated || out.size() + 12 + data.size() > room) {
      truncated = true;
      return;
    }
    Put16(out, owner);
    Put16(out, type);
    Put16(out, kClassIn);
    Put32(out, answer.ttl_seconds);
    Put16(out, static_cast<uint16_t>(data.size()));
    out.append(data);
    ++answers;
  };
  if (!answer.cname.empty()) {
    const std::string name = EncodeName(answer.cname);
    put_record(kTypeCname, name);
    owner = static_cast<uint16_t>(0xc000 | (out.size() - name.size()));
  }
  for (const IpAddress& ip : answer.addresses) {
    if (ip.IsV4() == (query.type == kTypeA)) put_record(query.type, ip.ToBytes());
  }
  out[6] = static_cast<char>(answers >> 8);
  out[7] = static_cast<char>(answers);
  if (truncated) out[2] = static_cast<char>(out[2] | kFlagTruncated >> 8);
  if (query.edns_udp_bytes) {
    out.push_back('\0');
    Put16(out, kTypeOpt);
    Put16(out, kOurUdpBytes);
    Put32(out, 0);
    Put16(out, 0);
    out[11] = 1;
  }
  return out;
}

std::optional<std::string> BuildFormatError(Bytes m) {
  if (m.size() < kHeaderBytes || (At16(m, 2) & kFlagResponse)) return std::nullopt;
  std::string out;
  const uint16_t kept = At16(m, 2) & (0x7800 | kFlagRecursionDesired);
  PutHeader(
      out, At16(m, 0),
      kFlagResponse | kFlagRecursionAvailable | kept | static_cast<uint16_t>(Rcode::kFormatError),
      0);
  return out;
}

bool Answers(Bytes response, Bytes request, const Query& query) {
  if (response.size() < kHeaderBytes) return false;
  if (At16(response, 0) != query.id || !(At16(response, 2) & kFlagResponse)) return false;
  if (At16(response, 4) == 0) {
    // A server that could not read the question, or refuses all of them, may leave it out; EDNS
    // may follow.
    return At16(response, 6) == 0 && At16(response, 8) == 0 && (At16(response, 2) & 0xf) != 0;
  }
  if (At16(response, 4) != 1 || response.size() < query.question_end) return false;
  for (size_t i = kHeaderBytes; i < query.question_end; ++i) {
    if (Lower(static_cast<char>(At(response, i))) != Lower(static_cast<char>(At(request, i)))) {
      return false;
    }
  }
  return true;
}

std::string_view TypeName(uint16_t type) {
  switch (type) {
    case 1:
      return "A";
    case 2:
      return "NS";
    case 5:
      return "CNAME";
    case 6:
      return "SOA";
    case 12:
      return "PTR";
    case 15:
      return "MX";
    case 16:
      return "TXT";
    case 28:
      return "AAAA";
    case 33:
      return "SRV";
    case 35:
      return "NAPTR";
    case 64:
      return "SVCB";
    case 65:
      return "HTTPS";
    case 255:
      return "ANY";
    default:
      return "OTHER";
  }
}

}  // namespace mesh::dns
