// How long to wait before the next connection to the control plane: 10 ms, doubling to 15 s; back
// to 10 ms after a stream that ended for a reason that says nothing against the server.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <algorithm>

#include "ztunnel/base/status.h"

namespace mesh::xds {

// A stream that ended so: connect again without having grown more patient.
inline bool EndsPolitely(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    case absl::StatusCode::kUnavailable: {
      const std::string_view text = MessageOf(status);
      for (const char* known :
           {"transport is closing", "received prior goaway", "GOAWAY received", "Socket closed"}) {
        if (text.find(known) != std::string_view::npos) return true;
      }
      return false;
    }
    default:
      return false;
  }
}

class Backoff {
 public:
  // `served`: the stream carried at least one response.
  absl::Duration Next(const absl::Status& status, bool served) {
    if (status.ok() && served) {
      delay_ = kFirst;
      return absl::ZeroDuration();
    }
    if (served || EndsPolitely(status)) delay_ = kFirst;
    const absl::Duration now = delay_;
    delay_ = std::min(delay_ * 2, kLongest);
    return now;
  }

 private:
  static constexpr absl::Duration kFirst = absl::Milliseconds(10);
  static constexpr absl::Duration kLongest = absl::Seconds(15);
  absl::Duration delay_ = kFirst;
};

}  // namespace mesh::xds
