#include "ztunnel/waypoint/http/message.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ztunnel/waypoint/http/chars.h"

namespace mesh::http {
namespace {

bool IsHostChar(char c) {
  const char lower = LowerAscii(c);
  return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

bool IsAddressChar(char c) { return HexValue(c) >= 0 || c == ':' || c == '.'; }

bool IsPort(std::string_view text) {
  if (text.empty() || text.size() > 5) return false;
  int port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    port = 10 * port + (c - '0');
  }
  return port <= 65535;
}

// By status (RFC 9110 and others); most are empty.
constexpr std::array<std::string_view, 512> kPhrases = [] {
  constexpr std::pair<uint16_t, std::string_view> kKnown[] = {
      {100, "Continue"},
      {101, "Switching Protocols"},
      {103, "Early Hints"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {203, "Non-Authoritative Information"},
      {204, "No Content"},
      {205, "Reset Content"},
      {206, "Partial Content"},
      {300, "Multiple Choices"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {402, "Payment Required"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {406, "Not Acceptable"},
      {407, "Proxy Authentication Required"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {412, "Precondition Failed"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {416, "Range Not Satisfiable"},
      {417, "Expectation Failed"},
      {421, "Misdirected Request"},
      {422, "Unprocessable Content"},
      {425, "Too Early"},
      {426, "Upgrade Required"},
      {428, "Precondition Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
      {511, "Network Authentication Required"},
  };
  std::array<std::string_view, 512> phrases{};
  for (const auto& [status, phrase] : kKnown) phrases[status] = phrase;
  return phrases;
}();

}  // namespace

bool IsAuthority(std::string_view text) {
  size_t host_end;
  if (!text.empty() && text.front() == '[') {
    host_end = text.find(']');
    if (host_end == std::string_view::npos || host_end == 1) return false;
    const std::string_view address = text.substr(1, host_end - 1);
    if (!std::all_of(address.begin(), address.end(), IsAddressChar)) return false;
    ++host_end;
  } else {
    host_end = std::min(text.find(':'), text.size());
    const std::string_view host = text.substr(0, host_end);
    if (host.empty() || !std::all_of(host.begin(), host.end(), IsHostChar)) return false;
  }
  const std::string_view rest = text.substr(host_end);
  return rest.empty() || (rest.front() == ':' && IsPort(rest.substr(1)));
}

std::string_view ReasonPhrase(uint16_t status) {
  return status < kPhrases.size() ? kPhrases[status] : std::string_view();
}

bool IsGrpc(const HeaderMap& headers) {
  constexpr std::string_view kGrpc = "application/grpc";
  const std::string_view type = headers.Find("content-type").value_or("");
  if (!EqualsIgnoreCase(type.substr(0, kGrpc.size()), kGrpc)) return false;
  // "application/grpc+proto" and "application/grpc; x", but not "application/grpc-web".
  const std::string_view rest = type.substr(kGrpc.size());
  return rest.empty() || rest.front() == '+' || rest.front() == ';' || rest.front() == ' ' ||
         rest.front() == '\t';
}

}  // namespace mesh::http
