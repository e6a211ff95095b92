#include "agent/k8s/grpc_status.h"

#include <array>

namespace mesh::k8s {

std::optional<uint32_t> GrpcStatusNamed(std::string_view name) {
  constexpr std::array<std::string_view, 17> kNames = {"OK",
                                                       "CANCELLED",
                                                       "UNKNOWN",
                                                       "INVALID_ARGUMENT",
                                                       "DEADLINE_EXCEEDED",
                                                       "NOT_FOUND",
                                                       "ALREADY_EXISTS",
                                                       "PERMISSION_DENIED",
                                                       "RESOURCE_EXHAUSTED",
                                                       "FAILED_PRECONDITION",
                                                       "ABORTED",
                                                       "OUT_OF_RANGE",
                                                       "UNIMPLEMENTED",
                                                       "INTERNAL",
                                                       "UNAVAILABLE",
                                                       "DATA_LOSS",
                                                       "UNAUTHENTICATED"};
  for (size_t code = 0; code < kNames.size(); ++code) {
    if (kNames[code] == name) return static_cast<uint32_t>(code);
  }
  return std::nullopt;
}

}  // namespace mesh::k8s
