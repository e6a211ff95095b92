#include "ztunnel/waypoint/route/compile.h"

#include <google/protobuf/duration.pb.h>

#include <algorithm>

#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/chars.h"

namespace mesh::route {

absl::StatusOr<absl::Duration> CompileDuration(const google::protobuf::Duration& duration) {
  constexpr int64_t kMaxSeconds = 315'576'000'000;
  if (duration.seconds() < 0 || duration.seconds() > kMaxSeconds || duration.nanos() < 0 ||
      duration.nanos() > 999'999'999)
    return Invalid("a duration of {} s and {} ns", duration.seconds(), duration.nanos());
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), http::LowerAscii);
  return out;
}

}  // namespace mesh::route
