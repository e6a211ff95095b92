// Telemetry objects and the mesh configuration -> mesh.l7.v1.Telemetry.
#pragma once

#include <memory>
#include <vector>

#include "agent/controller/model/settings.h"
#include "proto/api/istio_telemetry.pb.h"
#include "proto/l7_telemetry.pb.h"

namespace mesh::controller {

using TelemetryRef = std::shared_ptr<const api::Telemetry>;

// From the widest scope to the narrowest: field by field the narrower counts.
mesh::l7::v1::Telemetry TranslateTelemetry(const std::vector<TelemetryRef>& chain,
                                           const Settings& settings);

}  // namespace mesh::controller
