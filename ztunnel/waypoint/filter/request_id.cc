#include "ztunnel/waypoint/filter/trace.h"
#include "ztunnel/waypoint/filter/trace_text.h"

namespace mesh::filter {
namespace {

constexpr size_t kUuidSize = 36;
constexpr size_t kMark = 14;  // the version's digit
constexpr char kNotSampled = '4', kSampled = '9', kByService = 'a', kByClient = 'b';

bool IsUuid(std::string_view id) {
  if (id.size() != kUuidSize) return false;
  for (size_t i = 0; i < id.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? id[i] != '-' : !ParseHex64(id.substr(i, 1), true)) return false;
  }
  return true;
}

}  // namespace

std::string MakeRequestId(uint64_t high, uint64_t low) {
  high = (high & ~uint64_t{0xf000}) | 0x4000;                // version 4
  low = (low & ~(uint64_t{3} << 62)) | (uint64_t{1} << 63);  // RFC 9562, variant 10
  std::string digits;
  AppendHex64(high, digits);
  AppendHex64(low, digits);
  for (const size_t at : {8, 13, 18, 23}) digits.insert(at, 1, '-');
  return digits;
}

std::optional<bool> RequestIdSampled(std::string_view id) {
  if (!IsUuid(id)) return std::nullopt;
  switch (id[kMark]) {
    case kSampled:
    case kByService:
    case kByClient:
      return true;
    default:
      return false;
  }
}

void MarkRequestId(std::string& id, bool sampled) {
  if (IsUuid(id)) id[kMark] = sampled ? kSampled : kNotSampled;
}

uint64_t RequestIdRandom(std::string_view id) {
  return IsUuid(id) ? ParseHex64(id.substr(0, 8), true).value_or(0) : 0;
}

}  // namespace mesh::filter
