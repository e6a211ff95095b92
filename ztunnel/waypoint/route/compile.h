// What the compilers of this folder share.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>
#include <string_view>

namespace google::protobuf {
class Duration;
}

namespace mesh::route {

// Refused: negative ones, and what google.protobuf.Duration does not allow.
absl::StatusOr<absl::Duration> CompileDuration(const google::protobuf::Duration& duration);

std::string Lower(std::string_view text);  // ASCII

}  // namespace mesh::route
