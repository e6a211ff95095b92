#include "ztunnel/waypoint/http/http1_write.h"

#include <charconv>

#include "ztunnel/waypoint/http/chars.h"

namespace mesh::http {
namespace {

using Kind = BodyFraming::Kind;

bool IsWrittenByCodec(std::string_view name) {
  return IsConnectionField(name) || name == "content-length" || name == "host";
}

void AppendNumber(uint64_t number, std::string& out) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

void AppendLength(uint64_t length, std::string& out) {
  out.append("content-length: ");
  AppendNumber(length, out);
  out.append("\r\n");
}

// Printable and without spaces: what cannot end the line or the target early.
bool IsVisible(std::string_view text) {
  bool bad = text.empty();
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    bad |= byte <= 0x20 || byte == 0x7f;
  }
  return !bad;
}

}  // namespace

bool AppendFields(const HeaderMap& fields, std::string& out) {
  for (size_t i = 0; i < fields.size(); ++i) {
    const auto [name, value] = fields[i];
    if (IsWrittenByCodec(name)) continue;
    if (!IsFieldName(name) || !IsFieldValue(value)) return false;
    out.append(name).append(": ").append(value).append("\r\n");
  }
  return true;
}

std::optional<uint64_t> LengthOf(const HeaderMap& fields) {
  if (fields.Count("content-length") != 1) return std::nullopt;
  return ParseContentLength(*fields.Find("content-length"));
}

std::optional<RequestForm> FormOf(const RequestHead& head, bool end) {
  if (!head.upgrade.empty()) return RequestForm{};  // the body, if any, is what follows the 101
  const std::optional<uint64_t> length = LengthOf(head.headers);
  if (end) {
    if (length.value_or(0) > 0) return std::nullopt;
    const bool bodied = head.method == "POST" || head.method == "PUT" || head.method == "PATCH";
    return RequestForm{.framing = {}, .zero_length = length.has_value() || bodied};
  }
  if (length) return RequestForm{.framing = {Kind::kLength, *length}};
  return RequestForm{.framing = {Kind::kChunked}};
}

bool AppendRequest(const RequestHead& head, const RequestForm& form, std::string& out) {
  // An extended CONNECT (RFC 8441) is a GET here.
  const bool extended = !head.upgrade.empty() && head.method == "CONNECT";
  const std::string_view method = extended ? "GET" : std::string_view(head.method);
  if (!IsFieldName(method) || !IsVisible(head.path)) return false;
  if (!head.authority.empty() && !IsVisible(head.authority)) return false;
  out.append(method).append(" ").append(head.path).append(" HTTP/1.1\r\nhost: ");
  out.append(head.authority).append("\r\n");
  if (!AppendFields(head.headers, out)) return false;
  switch (form.framing.kind) {
    case Kind::kLength:
      AppendLength(form.framing.length, out);
      break;
    case Kind::kChunked:
      out.append("transfer-encoding: chunked\r\n");
      break;
    default:
      if (form.zero_length) AppendLength(0, out);
  }
  if (!head.upgrade.empty()) {
    if (!IsVisible(head.upgrade)) return false;
    out.append("connection: upgrade\r\nupgrade: ").append(head.upgrade).append("\r\n");
  } else if (head.headers.Find("te") == "trailers") {
    out.append("te: trailers\r\nconnection: te\r\n");
  }
  out.append("\r\n");
  return true;
}

std::optional<ResponseForm> FormOf(const ResponseHead& head, bool end, bool to_head,
                                   bool to_http10) {
  const std::optional<uint64_t> length = LengthOf(head.headers);
  if (head.status < 200 || head.status == 204) return ResponseForm{};
  if (to_head || head.status == 304) return ResponseForm{.framing = {}, .length = length};
  if (end) {
    if (length.value_or(0) > 0) return std::nullopt;
    return ResponseForm{.framing = {}, .length = 0};
  }
  if (length) return ResponseForm{.framing = {Kind::kLength, *length}, .length = length};
  return ResponseForm{.framing = {to_http10 ? Kind::kUntilClose : Kind::kChunked}, .length = {}};
}

bool AppendResponse(const ResponseHead& head, uint16_t status, const ResponseForm& form,
                    std::string_view connection, std::string& out) {
  if (status < 100 || status > 999) return false;
  out.append("HTTP/1.1 ");
  AppendNumber(status, out);
  out.append(" ").append(ReasonPhrase(status)).append("\r\n");
  if (!AppendFields(head.headers, out)) return false;
  if (form.length) AppendLength(*form.length, out);
  if (form.framing.kind == Kind::kChunked) out.append("transfer-encoding: chunked\r\n");
  if (!connection.empty()) out.append("connection: ").append(connection).append("\r\n");
  return true;
}

}  // namespace mesh::http
