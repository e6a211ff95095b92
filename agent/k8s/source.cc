#include "agent/k8s/source.h"

#include <fmt/format.h>
#include <poll.h>

namespace mesh::k8s {

std::string Problem::ToString() const {
  std::string text = fmt::format("{}:{}: ", file, line);
  if (!object.empty()) text += object + ": ";
  if (!field.empty()) text += field + ": ";
  return text + reason;
}

void WaitFor(const Source& source, int timeout_ms, int wake_fd) {
  pollfd fds[2] = {{source.fd(), POLLIN, 0}, {wake_fd, POLLIN, 0}};
  (void)::poll(fds, wake_fd >= 0 ? 2 : 1, timeout_ms);
}

}  // namespace mesh::k8s
