#include "ztunnel/core/hbone/certificates.h"

#include <memory>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/status.h"

namespace mesh::hbone {
namespace {

struct Answer {
  explicit Answer(base::EventLoop& loop) : event(loop) {}
  base::Event event;
  absl::StatusOr<identity::CertificateRef> certificate = identity::CertificateRef();
};

}  // namespace

base::Task<absl::StatusOr<identity::CertificateRef>> GetCertificate(
    base::EventLoop& loop, identity::CertificateManager& manager, identity::Identity id,
    absl::Duration timeout) {
  if (identity::CertificateRef certificate = manager.TryGet(id)) co_return certificate;
  // Shared with the callback, which may come when this frame is gone: it then sets an event that
  // nobody waits for.
  auto answer = std::make_shared<Answer>(loop);
  manager.Get(id, loop, [answer](absl::StatusOr<identity::CertificateRef> result) {
    answer->certificate = std::move(result);
    answer->event.Set();
  });
  const bool in_time = co_await answer->event.Wait(timeout);
  if (!in_time) {
    co_return DeadlineExceeded("certificate of {}: none after {}", id.ToString(),
                               absl::FormatDuration(timeout).c_str());
  }
  co_return std::move(answer->certificate);
}

}  // namespace mesh::hbone
