#include "ztunnel/base/status.h"

#include <absl/strings/cord.h>
#include <cerrno>
#include <cstring>

namespace mesh {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ESRCH:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    case EEXIST:
    case EADDRINUSE:
      return absl::StatusCode::kAlreadyExists;
    case EINVAL:
      return absl::StatusCode::kInvalidArgument;
    case ETIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
      return absl::StatusCode::kResourceExhausted;
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EAGAIN:
    case EPIPE:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kUnknown;
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, std::string_view what) {
  return MakeStatus(CodeOf(error), "{}: {} (errno {})", what,
                    ::strerrordesc_np(error) ? ::strerrordesc_np(error) : "unknown error", error);
}

absl::Status WithContext(const absl::Status& status, std::string_view what) {
  if (status.ok()) return status;
  absl::Status result = MakeStatus(status.code(), "{}: {}", what, MessageOf(status));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

std::string Describe(const absl::Status& status) {
  const std::string text = status.ToString();
  return text;
}

}  // namespace mesh
