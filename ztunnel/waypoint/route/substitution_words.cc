#include "ztunnel/waypoint/route/substitution_words.h"

#include <absl/strings/numbers.h>
#include <fmt/format.h>

#include <iterator>

#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/route/compile.h"

namespace mesh::route::words {
namespace {

enum class Takes : uint8_t { kNothing, kHeader, kTimeFormat, kGrpcForm };

struct Entry {
  std::string_view name;
  Word word;
  Takes takes = Takes::kNothing;
};

constexpr Entry kEntries[] = {
    {"REQ", Word::kRequestHeader, Takes::kHeader},
    {"RESP", Word::kResponseHeader, Takes::kHeader},
    {"TRAILER", Word::kTrailer, Takes::kHeader},
    {"PROTOCOL", Word::kProtocol},
    {"RESPONSE_CODE", Word::kResponseCode},
    {"RESPONSE_CODE_DETAILS", Word::kResponseCodeDetails},
    {"RESPONSE_FLAGS", Word::kResponseFlags},
    {"CONNECTION_TERMINATION_DETAILS", Word::kConnectionTerminationDetails},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON", Word::kUpstreamTransportFailureReason},
    {"BYTES_RECEIVED", Word::kBytesReceived},
    {"BYTES_SENT", Word::kBytesSent},
    {"DURATION", Word::kDuration},
    {"REQUEST_DURATION", Word::kRequestDuration},
    {"RESPONSE_DURATION", Word::kResponseDuration},
    {"RESPONSE_TX_DURATION", Word::kResponseTxDuration},
    {"START_TIME", Word::kStartTime, Takes::kTimeFormat},
    {"UPSTREAM_HOST", Word::kUpstreamHost},
    {"UPSTREAM_REMOTE_ADDRESS", Word::kUpstreamHost},
    {"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Word::kUpstreamHostIp},
    {"UPSTREAM_REMOTE_PORT", Word::kUpstreamHostPort},
    {"UPSTREAM_CLUSTER", Word::kUpstreamCluster},
    {"UPSTREAM_LOCAL_ADDRESS", Word::kUpstreamLocal},
    {"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Word::kUpstreamLocalIp},
    {"UPSTREAM_LOCAL_PORT", Word::kUpstreamLocalPort},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", Word::kUpstreamAttempts},
    {"DOWNSTREAM_LOCAL_ADDRESS", Word::kDownstreamLocal},
    {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Word::kDownstreamLocalIp},
    {"DOWNSTREAM_LOCAL_PORT", Word::kDownstreamLocalPort},
    {"DOWNSTREAM_REMOTE_ADDRESS", Word::kDownstreamRemote},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Word::kDownstreamRemoteIp},
    {"DOWNSTREAM_REMOTE_PORT", Word::kDownstreamRemotePort},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Word::kDownstreamDirectRemote},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Word::kDownstreamDirectRemoteIp},
    {"DOWNSTREAM_DIRECT_REMOTE_PORT", Word::kDownstreamDirectRemotePort},
    {"DOWNSTREAM_PEER_URI_SAN", Word::kDownstreamPeerUri},
    {"REQUESTED_SERVER_NAME", Word::kRequestedServerName},
    {"ROUTE_NAME", Word::kRouteName},
    {"HOSTNAME", Word::kHostname},
    {"TRACE_ID", Word::kTraceId},
    {"CONNECTION_ID", Word::kConnectionId},
    {"GRPC_STATUS", Word::kGrpcStatus, Takes::kGrpcForm},
    {"GRPC_STATUS_NUMBER", Word::kGrpcStatusNumber},
};

constexpr std::string_view kGrpcNames[] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};
constexpr std::string_view kTimeFormat = "%Y-%m-%dT%H:%M:%E3SZ";
constexpr size_t kMaxTimeFormat = 64;

// %f and %3f (digits of the second) as Abseil writes them.
absl::StatusOr<std::string> TimeFormat(std::string_view text) {
  if (text.empty()) return std::string(kTimeFormat);
  if (text.size() > kMaxTimeFormat) return Invalid("a time format of {} characters", text.size());
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] != '%' || i + 1 == text.size()) continue;
    const char next = text[++i];
    if (next == 'f') {
      out += "E9f";
    } else if (next >= '1' && next <= '9' && i + 1 < text.size() && text[i + 1] == 'f') {
      out += {'E', next, 'f'};
      ++i;
    } else {
      out += next;
    }
  }
  return out;
}

bool AppendText(std::string_view text, std::string& out) {
  out += text;
  return !text.empty();
}

template <typename Number>
bool AppendNumber(Number number, std::string& out) {
  fmt::format_to(std::back_inserter(out), "{}", number);
  return true;
}

constexpr std::string_view Facts::* kTexts[] = {
    &Facts::response_code_details,
    &Facts::connection_termination_details,
    &Facts::upstream_transport_failure_reason,
    &Facts::upstream_cluster,
    &Facts::downstream_peer,
    &Facts::requested_server_name,
    &Facts::route_name,
    &Facts::hostname,
    &Facts::trace_id,
};
constexpr std::optional<SocketAddress> Facts::* kAddresses[] = {
    &Facts::upstream_host,     &Facts::upstream_local,           &Facts::downstream_local,
    &Facts::downstream_remote, &Facts::downstream_direct_remote,
};
constexpr size_t Offset(Word word, Word first) {
  return static_cast<size_t>(word) - static_cast<size_t>(first);
}
static_assert(Offset(Word::kUpstreamHost, Word::kResponseCodeDetails) == std::size(kTexts));
static_assert(Offset(Word::kDownstreamDirectRemotePort, Word::kUpstreamHost) + 1 ==
              3 * std::size(kAddresses));

bool AppendAddress(Word word, const Facts& facts, std::string& out) {
  const size_t offset = Offset(word, Word::kUpstreamHost);
  const std::optional<SocketAddress>& address = facts.*kAddresses[offset / 3];
  if (!address) return false;
  if (offset % 3 == 2) return AppendNumber(address->port, out);
  out += offset % 3 == 1 ? address->ip.ToString() : address->ToString();
  return true;
}

bool AppendMilliseconds(const std::optional<absl::Duration>& duration, std::string& out) {
  return duration && AppendNumber(absl::ToInt64Milliseconds(*duration), out);
}

// All values of a field, joined.
bool AppendHeader(const http::HeaderMap& headers, std::string_view name, std::string& out) {
  bool found = false;
  for (size_t i = 0; i < headers.size(); ++i) {
    if (headers[i].name != name) continue;
    if (found) out += ',';
    out += headers[i].value;
    found = true;
  }
  return found;
}

bool AppendRequestHeader(const http::RequestHead* head, std::string_view name, std::string& out) {
  if (head == nullptr) return false;
  if (!name.starts_with(':')) return AppendHeader(head->headers, name, out);
  if (name == ":method") return AppendText(head->method, out);
  if (name == ":path") return AppendText(head->path, out);
  if (name == ":authority") return AppendText(head->authority, out);
  if (name == ":scheme") return AppendText(head->scheme, out);
  return false;
}

bool AppendResponseHeader(const http::ResponseHead* head, std::string_view name, std::string& out) {
  if (head == nullptr) return false;
  if (name == ":status") return AppendNumber(head->status, out);
  return AppendHeader(head->headers, name, out);
}

bool AppendProtocol(const http::RequestHead* head, std::string& out) {
  if (head == nullptr) return false;
  switch (head->version) {
    case http::Version::kHttp10:
      return AppendText("HTTP/1.0", out);
    case http::Version::kHttp11:
      return AppendText("HTTP/1.1", out);
    case http::Version::kHttp2:
      return AppendText("HTTP/2", out);
  }
  return false;
}

bool AppendGrpcStatus(const Facts& facts, bool number, std::string& out) {
  std::optional<std::string_view> text;
  if (facts.trailers != nullptr) text = facts.trailers->Find("grpc-status");
  if (!text && facts.response != nullptr) text = facts.response->headers.Find("grpc-status");
  uint32_t status = 0;
  if (!text || !absl::SimpleAtoi(absl::string_view(text->data(), text->size()), &status))
    return false;
  if (number || status >= std::size(kGrpcNames)) return AppendNumber(status, out);
  return AppendText(kGrpcNames[status], out);
}

bool AppendTxDuration(const Facts& facts, std::string& out) {
  if (!facts.duration || !facts.response_duration) return false;
  return AppendMilliseconds(*facts.duration - *facts.response_duration, out);
}

bool AppendStartTime(std::string_view format, absl::Time start, std::string& out) {
  if (start == absl::InfinitePast()) return false;
  out +=
      absl::FormatTime(absl::string_view(format.data(), format.size()), start, absl::UTCTimeZone());
  return true;
}

}  // namespace

absl::StatusOr<Parsed> Parse(std::string_view name, std::optional<std::string_view> arguments) {
  const Entry* entry = std::find_if(std::begin(kEntries), std::end(kEntries),
                                    [name](const Entry& e) { return e.name == name; });
  if (entry == std::end(kEntries)) return Invalid("%{}% is not known", name);
  Parsed out{.word = entry->word, .argument = {}, .alternate = {}};
  const std::string_view text = arguments.value_or(std::string_view());
  switch (entry->takes) {
    case Takes::kNothing:
      if (arguments) return Invalid("%{}% takes no argument", name);
      return out;
    case Takes::kHeader: {
      const size_t mark = text.find('?');
      out.argument = Lower(text.substr(0, mark));
      if (mark != text.npos) out.alternate = Lower(text.substr(mark + 1));
      if (out.argument.empty()) return Invalid("%{}% names no header", name);
      return out;
    }
    case Takes::kTimeFormat: {
      ASSIGN_OR_RETURN(out.argument, TimeFormat(text));
      return out;
    }
    case Takes::kGrpcForm:
      if (text == "NUMBER") out.word = Word::kGrpcStatusNumber;
      if (!text.empty() && text != "NUMBER" && text != "CAMEL_STRING")
        return Invalid("%{}({})% is not known", name, text);
      return out;
  }
  return out;
}

bool Append(Word word, std::string_view argument, std::string_view alternate, const Facts& facts,
            std::string& out) {
  if (word >= Word::kUpstreamHost) return AppendAddress(word, facts, out);
  if (word >= Word::kResponseCodeDetails)
    return AppendText(facts.*kTexts[Offset(word, Word::kResponseCodeDetails)], out);
  switch (word) {
    case Word::kText:
      return AppendText(argument, out);
    case Word::kRequestHeader:
      return AppendRequestHeader(facts.request, argument, out) ||
             (!alternate.empty() && AppendRequestHeader(facts.request, alternate, out));
    case Word::kResponseHeader:
      return AppendResponseHeader(facts.response, argument, out) ||
             (!alternate.empty() && AppendResponseHeader(facts.response, alternate, out));
    case Word::kTrailer:
      return facts.trailers != nullptr &&
             (AppendHeader(*facts.trailers, argument, out) ||
              (!alternate.empty() && AppendHeader(*facts.trailers, alternate, out)));
    case Word::kProtocol:
      return AppendProtocol(facts.request, out);
    case Word::kResponseCode:
      return AppendNumber(facts.response == nullptr ? 0 : facts.response->status, out);
    case Word::kResponseFlags:
      AppendFlags(facts.flags, out);
      return true;
    case Word::kStartTime:
      return AppendStartTime(argument, facts.start, out);
    case Word::kBytesReceived:
      return AppendNumber(facts.bytes_received, out);
    case Word::kBytesSent:
      return AppendNumber(facts.bytes_sent, out);
    case Word::kConnectionId:
      return AppendNumber(facts.connection_id, out);
    case Word::kUpstreamAttempts:
      return AppendNumber(facts.attempts, out);
    case Word::kDuration:
      return AppendMilliseconds(facts.duration, out);
    case Word::kRequestDuration:
      return AppendMilliseconds(facts.request_duration, out);
    case Word::kResponseDuration:
      return AppendMilliseconds(facts.response_duration, out);
    case Word::kResponseTxDuration:
      return AppendTxDuration(facts, out);
    case Word::kGrpcStatus:
      return AppendGrpcStatus(facts, false, out);
    case Word::kGrpcStatusNumber:
      return AppendGrpcStatus(facts, true, out);
    default:
      return false;
  }
}

}  // namespace mesh::route::words
