// CertificateManager for coroutines.
#pragma once

#include <absl/status/statusor.h>

#include "ztunnel/base/async/task.h"
#include "ztunnel/core/identity/certificate_manager.h"

namespace mesh::hbone {

// The valid certificate of `id`; waits for a fetch until `timeout`. Cancellable: an answer that
// comes later is dropped.
base::Task<absl::StatusOr<identity::CertificateRef>> GetCertificate(
    base::EventLoop& loop, identity::CertificateManager& manager, identity::Identity id,
    absl::Duration timeout);

}  // namespace mesh::hbone
