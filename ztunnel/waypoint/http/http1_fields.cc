#include "ztunnel/waypoint/http/http1_fields.h"

#include <algorithm>

#include "ztunnel/waypoint/http/chars.h"

namespace mesh::http {
namespace {

// Splits at the colon and checks the value; the name is checked when it is added.
bool Split(std::string_view line, std::string_view& name, std::string_view& value) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return false;
  name = line.substr(0, colon);
  value = Trim(line.substr(colon + 1));
  return IsFieldValue(value);
}

}  // namespace

std::optional<uint64_t> ParseContentLength(std::string_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;
  uint64_t length = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    length = 10 * length + static_cast<uint64_t>(c - '0');
  }
  return length;
}

bool IsConnectionField(std::string_view name) {
  switch (name.size()) {
    case 2:
      return name == "te";
    case 7:
      return name == "upgrade";
    case 10:
      return name == "connection" || name == "keep-alive";
    case 14:
      return name == "http2-settings";
    case 16:
      return name == "proxy-connection";
    case 17:
      return name == "transfer-encoding";
    default:
      return false;
  }
}

HeadError FieldParser::Add(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') return {400, "folded header field"};
  std::string_view name, value;
  if (!Split(line, name, value)) return {400, "malformed header field"};
  if (!headers.AddFromWire(name, value)) return {400, "malformed header name"};
  drop_ = false;
  const HeadError error = Look();
  if (drop_) headers.PopBack();
  return error;
}

HeadError FieldParser::Look() {
  const auto [name, value] = headers[headers.size() - 1];
  drop_ = IsConnectionField(name);
  switch (name.size()) {
    case 2:
      if (name == "te") {
        ForEachElement(value, [&](std::string_view coding) {
          te_trailers_ = te_trailers_ || EqualsIgnoreCase(coding, "trailers");
        });
      }
      break;
    case 4:
      if (name == "host") {
        drop_ = true;
        if (++connection.hosts > 1) return {400, "more than one Host"};
        connection.host = value;
      }
      break;
    case 6:
      if (name == "expect" && EqualsIgnoreCase(value, "100-continue")) {
        connection.expect_continue = true;
      }
      break;
    case 7:
      if (name == "upgrade") LookAtUpgrade(value);
      break;
    case 10:
      if (name == "connection") return LookAtConnection(value);
      break;
    case 14:
      if (name == "content-length") return LookAtContentLength(value);
      break;
    case 17:
      if (name == "transfer-encoding") return LookAtTransferEncoding(value);
      break;
    default:
      break;
  }
  return {};
}

HeadError FieldParser::LookAtTransferEncoding(std::string_view value) {
  if (has_transfer_encoding_) return {400, "more than one Transfer-Encoding"};
  has_transfer_encoding_ = true;
  if (value.empty()) return {400, "empty Transfer-Encoding"};
  if (!EqualsIgnoreCase(value, "chunked")) return {501, "Transfer-Encoding is not chunked"};
  connection.chunked = true;
  return {};
}

HeadError FieldParser::LookAtContentLength(std::string_view value) {
  if (connection.content_length) return {400, "more than one Content-Length"};
  connection.content_length = ParseContentLength(value);
  if (!connection.content_length) return {400, "malformed Content-Length"};
  return {};
}

HeadError FieldParser::LookAtConnection(std::string_view value) {
  HeadError error;
  ForEachElement(value, [&](std::string_view option) {
    if (EqualsIgnoreCase(option, "close")) {
      connection.close = true;
    } else if (EqualsIgnoreCase(option, "keep-alive")) {
      connection.keep_alive = true;
    } else if (EqualsIgnoreCase(option, "upgrade")) {
      connection.upgrade = true;
    } else if (!IsFieldName(option)) {
      error = {400, "malformed Connection"};
    } else if (!EqualsIgnoreCase(option, "te")) {
      for (const char c : option) named_.push_back(LowerAscii(c));
      named_.push_back(',');
    }
  });
  return error;
}

void FieldParser::LookAtUpgrade(std::string_view value) {
  ForEachElement(value, [&](std::string_view protocol) {
    if (!connection.upgrade_to.empty() || EqualsIgnoreCase(protocol, "h2c")) return;
    for (const char c : protocol) connection.upgrade_to.push_back(LowerAscii(c));
  });
}

HeadError FieldParser::Finish() {
  if (connection.chunked && connection.content_length) {
    return {400, "both Transfer-Encoding and Content-Length"};
  }
  HeadError error;
  ForEachElement(named_, [&](std::string_view name) {
    // Taking these away would change where the message ends or who it is for.
    if (name == "host" || name == "content-length" || name == "transfer-encoding") {
      error = {400, "Connection names a field of the message"};
    } else {
      headers.Remove(name);
    }
  });
  if (te_trailers_) headers.Add("te", "trailers");
  return error;
}

void FieldParser::Clear() {
  headers.Clear();
  connection = ConnectionFields();
  named_.clear();
  te_trailers_ = has_transfer_encoding_ = false;
}

bool AddTrailer(std::string_view line, HeaderMap& trailers) {
  std::string_view name, value;
  if (!Split(line, name, value) || !trailers.AddFromWire(name, value)) return false;
  const std::string_view lower = trailers[trailers.size() - 1].name;
  return !IsConnectionField(lower) && lower != "content-length" && lower != "host" &&
         lower != "trailer";
}

}  // namespace mesh::http
