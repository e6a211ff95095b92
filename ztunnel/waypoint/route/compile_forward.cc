#include <re2/re2.h>

#include "proto/l7_frontend.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/route/compile.h"
#include "ztunnel/waypoint/route/compile_route.h"

namespace mesh::route {
namespace {

constexpr size_t kMaxSubstitution = 1024;

// Visible ASCII or bytes above it: what may stand in a request line.
absl::Status CheckTarget(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f || c == '#') return Invalid("\"{}\" is no path", text);
  }
  return absl::OkStatus();
}

absl::Status CheckAuthority(std::string_view text) {
  if (text.empty() || text.find_first_of("/?#@ \t\r\n") != text.npos)
    return Invalid("\"{}\" is no authority", text);
  return absl::OkStatus();
}

absl::Status CheckFullPath(std::string_view path) {
  if (!path.starts_with('/')) return Invalid("\"{}\" does not begin with /", path);
  return CheckTarget(path);
}

absl::StatusOr<Share> CompileShare(const l7::v1::Share& share) {
  if (share.per_million() > 1'000'000) return Invalid("per_million: {}", share.per_million());
  return Share{share.per_million()};
}

absl::StatusOr<uint16_t> CompileStatus(uint32_t status, uint32_t from, uint32_t to) {
  if (status < from || status > to)
    return Invalid("status {} is not between {} and {}", status, from, to);
  return static_cast<uint16_t>(status);
}

absl::StatusOr<RegexRewrite> CompileRegexRewrite(const l7::v1::Rewrite::RegexRewrite& rewrite) {
  RegexRewrite out{.match = {}, .substitution = rewrite.substitution()};
  ASSIGN_OR_RETURN(out.match, WithContext(CompileRegex(rewrite.match()), "match"));
  if (out.substitution.size() > kMaxSubstitution)
    return Invalid("substitution: {} characters", out.substitution.size());
  RETURN_IF_ERROR(WithContext(CheckTarget(out.substitution), "substitution"));
  std::string why;
  if (!out.match->CheckRewriteString(out.substitution, &why))
    return Invalid("substitution: {}", why);
  return out;
}

absl::StatusOr<Rewrite> CompileRewrite(const l7::v1::Rewrite& rewrite) {
  Rewrite out;
  switch (rewrite.path_case()) {
    case l7::v1::Rewrite::kFullPath:
      RETURN_IF_ERROR(WithContext(CheckFullPath(rewrite.full_path()), "full_path"));
      out.path = FullPath{rewrite.full_path()};
      break;
    case l7::v1::Rewrite::kPrefix:
      RETURN_IF_ERROR(WithContext(CheckTarget(rewrite.prefix()), "prefix"));
      out.path = PrefixReplacement{rewrite.prefix()};
      break;
    case l7::v1::Rewrite::kRegex: {
      ASSIGN_OR_RETURN(out.path, WithContext(CompileRegexRewrite(rewrite.regex()), "regex"));
      break;
    }
    case l7::v1::Rewrite::PATH_NOT_SET:
      break;
  }
  if (!rewrite.authority().empty()) {
    RETURN_IF_ERROR(WithContext(CheckAuthority(rewrite.authority()), "authority"));
    out.authority = rewrite.authority();
  }
  return out;
}

absl::StatusOr<Backend> CompileBackend(const l7::v1::Forward::Backend& backend) {
  Backend out;
  out.cluster = backend.cluster();
  out.weight = backend.weight();
  ASSIGN_OR_RETURN(
      out.request_headers,
      WithContext(CompileHeaderOps(backend.request_headers(), true), "request_headers"));
  ASSIGN_OR_RETURN(
      out.response_headers,
      WithContext(CompileHeaderOps(backend.response_headers(), false), "response_headers"));
  if (backend.unknown_status() != 0) {
    ASSIGN_OR_RETURN(
        out.unknown_status,
        WithContext(CompileStatus(backend.unknown_status(), 200, 599), "unknown_status"));
  }
  return out;
}

absl::Status CompileBackends(const l7::v1::Forward& forward, Forward& out) {
  if (forward.backends().empty()) return Invalid("backends: none");
  for (int i = 0; i < forward.backends_size(); ++i) {
    ASSIGN_OR_RETURN(Backend backend, WithContext(CompileBackend(forward.backends(i)),
                                                  fmt::format("backends[{}]", i)));
    out.weight_sum += backend.weight;
    out.backends.push_back(std::move(backend));
  }
  if (out.backends.size() > 1 && out.weight_sum == 0) return Invalid("backends: weights sum to 0");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Forward> CompileForward(const l7::v1::Forward& forward) {
  Forward out;
  RETURN_IF_ERROR(CompileBackends(forward, out));
  out.backend_headers_first = forward.backend_headers_first();
  ASSIGN_OR_RETURN(out.rewrite, WithContext(CompileRewrite(forward.rewrite()), "rewrite"));
  if (forward.has_timeout()) {
    ASSIGN_OR_RETURN(absl::Duration timeout,
                     WithContext(CompileDuration(forward.timeout()), "timeout"));
    if (timeout > absl::ZeroDuration()) out.timeout = timeout;
  }
  if (forward.has_retry()) {
    ASSIGN_OR_RETURN(out.retry, WithContext(CompileRetry(forward.retry()), "retry"));
  }
  for (int i = 0; i < forward.mirrors_size(); ++i) {
    ASSIGN_OR_RETURN(Share share, WithContext(CompileShare(forward.mirrors(i).share()),
                                              fmt::format("mirrors[{}].share", i)));
    out.mirrors.push_back({forward.mirrors(i).cluster(), share});
  }
  return out;
}

absl::StatusOr<Redirect> CompileRedirect(const l7::v1::Redirect& redirect) {
  Redirect out;
  if (redirect.has_prefix()) {
    RETURN_IF_ERROR(WithContext(CheckTarget(redirect.prefix()), "prefix"));
    out.path = PrefixReplacement{redirect.prefix()};
  } else if (!redirect.full_path().empty()) {
    RETURN_IF_ERROR(WithContext(CheckFullPath(redirect.full_path()), "full_path"));
    out.path = FullPath{redirect.full_path()};
  }
  if (!redirect.authority().empty()) {
    RETURN_IF_ERROR(WithContext(CheckAuthority(redirect.authority()), "authority"));
    out.authority = redirect.authority();
  }
  if (redirect.port() > 65'535) return Invalid("port: {}", redirect.port());
  if (redirect.port() != 0) out.port = static_cast<uint16_t>(redirect.port());
  out.port_of_request = redirect.port_of_request();
  if (!redirect.scheme().empty()) {
    if (redirect.scheme() != "http" && redirect.scheme() != "https")
      return Invalid("scheme: \"{}\"", redirect.scheme());
    out.scheme = redirect.scheme();
  }
  switch (redirect.code()) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      out.code = static_cast<uint16_t>(redirect.code());
      return out;
    default:
      return Invalid("code: {} is not 301, 302, 303, 307 or 308", redirect.code());
  }
}

absl::StatusOr<Fault> CompileFault(const l7::v1::Fault& fault) {
  Fault out;
  if (fault.has_delay()) {
    ASSIGN_OR_RETURN(out.delay, WithContext(CompileDuration(fault.delay()), "delay"));
  }
  ASSIGN_OR_RETURN(out.delay_share, WithContext(CompileShare(fault.delay_share()), "delay_share"));
  ASSIGN_OR_RETURN(out.abort_share, WithContext(CompileShare(fault.abort_share()), "abort_share"));
  if (fault.abort_status() != 0) {
    ASSIGN_OR_RETURN(out.abort_status,
                     WithContext(CompileStatus(fault.abort_status(), 200, 599), "abort_status"));
  }
  if (fault.abort_grpc()) {
    if (fault.abort_grpc_status() > 16)
      return Invalid("abort_grpc_status: {}", fault.abort_grpc_status());
    out.abort_grpc_status = static_cast<int>(fault.abort_grpc_status());
  }
  return out;
}

}  // namespace mesh::route
