// Errors: absl::Status with a message that names the thing and the value.
//
// Codes carry meaning: Unavailable = try again later, Unauthenticated = TLS identity,
// PermissionDenied = policy, FailedPrecondition = wrong state, InvalidArgument = foreign input is
// malformed, Internal = our bug, Cancelled = drained. Messages are formatted with fmt.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace mesh {

template <typename... Args>
absl::Status MakeStatus(absl::StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  const std::string text = fmt::format(format, std::forward<Args>(args)...);
  return absl::Status(code, absl::string_view(text.data(), text.size()));
}

#define MESH_STATUS_FACTORY(Name, Code)                                             \
  template <typename... Args>                                                       \
  absl::Status Name(fmt::format_string<Args...> format, Args&&... args) {           \
    return MakeStatus(absl::StatusCode::Code, format, std::forward<Args>(args)...); \
  }
MESH_STATUS_FACTORY(NotFound, kNotFound)
MESH_STATUS_FACTORY(Invalid, kInvalidArgument)
MESH_STATUS_FACTORY(Unavailable, kUnavailable)
MESH_STATUS_FACTORY(Unauthenticated, kUnauthenticated)
MESH_STATUS_FACTORY(PermissionDenied, kPermissionDenied)
MESH_STATUS_FACTORY(FailedPrecondition, kFailedPrecondition)
MESH_STATUS_FACTORY(DeadlineExceeded, kDeadlineExceeded)
MESH_STATUS_FACTORY(ResourceExhausted, kResourceExhausted)
MESH_STATUS_FACTORY(AlreadyExists, kAlreadyExists)
MESH_STATUS_FACTORY(Cancelled, kCancelled)
MESH_STATUS_FACTORY(Internal, kInternal)
#undef MESH_STATUS_FACTORY

// "<what>: <strerror> (errno N)", with the code that fits the errno.
absl::Status ErrnoStatus(int error, std::string_view what);

template <typename... Args>
absl::Status Errno(int error, fmt::format_string<Args...> format, Args&&... args) {
  return ErrnoStatus(error, fmt::format(format, std::forward<Args>(args)...));
}

// The same error, its message preceded by what the caller was doing. Payloads are kept.
absl::Status WithContext(const absl::Status& status, std::string_view what);
template <typename T>
absl::StatusOr<T> WithContext(absl::StatusOr<T> result, std::string_view what) {
  if (result.ok()) return result;
  return WithContext(result.status(), what);
}

// The message as std::string_view (Abseil keeps its own kind on Debian).
inline std::string_view MessageOf(const absl::Status& status) {
  return std::string_view(status.message().data(), status.message().size());
}

// "CODE: message", for logs.
std::string Describe(const absl::Status& status);

}  // namespace mesh

#define MESH_CONCAT_INNER(a, b) a##b
#define MESH_CONCAT(a, b) MESH_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                                                        \
  do {                                                                               \
    if (absl::Status mesh_status_ = (expr); !mesh_status_.ok()) return mesh_status_; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL_(MESH_CONCAT(mesh_or_, __LINE__), lhs, expr, return)

// The same inside a coroutine.
#define CO_RETURN_IF_ERROR(expr)                                                        \
  do {                                                                                  \
    if (absl::Status mesh_status_ = (expr); !mesh_status_.ok()) co_return mesh_status_; \
  } while (false)
#define CO_ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL_(MESH_CONCAT(mesh_or_, __LINE__), lhs, expr, co_return)

#define ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr, ret) \
  auto tmp = (expr);                                \
  if (!tmp.ok()) ret std::move(tmp).status();       \
  lhs = *std::move(tmp)
