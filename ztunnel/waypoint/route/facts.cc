#include "ztunnel/waypoint/route/facts.h"

#include <iterator>

namespace mesh::route {
namespace {

// In the order of the bits.
constexpr const char* kNames[] = {"UH", "UF", "UO", "NR", "URX",  "NC",  "UT",  "DC", "UR",
                                  "UC", "DI", "FI", "RL", "UAEX", "DPE", "UPE", "DT", "OM"};

}  // namespace

void AppendFlags(FlagSet flags, std::string& out) {
  if (flags == 0) {
    out += '-';
    return;
  }
  const size_t begin = out.size();
  for (size_t bit = 0; bit < std::size(kNames); ++bit) {
    if ((flags & (1u << bit)) == 0) continue;
    if (out.size() != begin) out += ',';
    out += kNames[bit];
  }
}

std::string FlagsText(FlagSet flags) {
  std::string out;
  AppendFlags(flags, out);
  return out;
}

}  // namespace mesh::route
