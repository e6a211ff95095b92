// From the wire's messages to plain values. Everything that a lookup or a connection later relies
// on is checked here, once. Errors are InvalidArgument and name the field and the value.
#pragma once

#include <absl/status/statusor.h>

#include "ztunnel/core/state/types.h"

namespace istio::workload {
class Address;
class Service;
class Workload;
}  // namespace istio::workload

namespace mesh::state {

// What many resources have in common is taken from `pool`.
absl::StatusOr<Workload> DecodeWorkload(const istio::workload::Workload& in, TextPool& pool);
absl::StatusOr<Service> DecodeService(const istio::workload::Service& in, TextPool& pool);

}  // namespace mesh::state
