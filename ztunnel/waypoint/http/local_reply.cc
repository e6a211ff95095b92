#include "ztunnel/waypoint/http/local_reply.h"

#include <utility>

namespace mesh::http {

LocalReply MakeLocalReply(const HeaderMap& request, uint16_t status, std::string_view body,
                          std::optional<int> grpc_status) {
  LocalReply reply;
  HeaderMap& fields = reply.head.headers;
  if (IsGrpc(request)) {
    reply.head.status = 200;
    fields.Add("content-type", "application/grpc");
    fields.Add("grpc-status", std::to_string(grpc_status.value_or(GrpcStatusOfHttp(status))));
    if (!body.empty()) fields.Add("grpc-message", GrpcMessage(body));
    return reply;
  }
  reply.head.status = status;
  reply.body = body;
  if (!body.empty()) {
    fields.Add("content-length", std::to_string(body.size()));
    fields.Add("content-type", "text/plain");
  }
  return reply;
}

int GrpcStatusOfHttp(uint16_t status) {
  switch (status) {
    case 400:
      return 13;  // INTERNAL
    case 401:
      return 16;  // UNAUTHENTICATED
    case 403:
      return 7;  // PERMISSION_DENIED
    case 404:
      return 12;  // UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;  // UNAVAILABLE
    default:
      return 2;  // UNKNOWN
  }
}

uint16_t HttpStatusOfGrpc(int grpc_status) {
  switch (grpc_status) {
    case 0:
      return 200;
    case 1:
      return 499;  // CANCELLED
    case 3:        // INVALID_ARGUMENT
    case 9:        // FAILED_PRECONDITION
    case 11:
      return 400;  // OUT_OF_RANGE
    case 4:
      return 504;  // DEADLINE_EXCEEDED
    case 5:
      return 404;  // NOT_FOUND
    case 6:        // ALREADY_EXISTS
    case 10:
      return 409;  // ABORTED
    case 7:
      return 403;  // PERMISSION_DENIED
    case 8:
      return 429;  // RESOURCE_EXHAUSTED
    case 12:
      return 501;  // UNIMPLEMENTED
    case 14:
      return 503;  // UNAVAILABLE
    case 16:
      return 401;  // UNAUTHENTICATED
    default:
      return 500;
  }
}

std::string GrpcMessage(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte <= 0x7e && c != '%') {
      out.push_back(c);
    } else {
      out.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  return out;
}

}  // namespace mesh::http
