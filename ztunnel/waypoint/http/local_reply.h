// An answer of the proxy itself, in the form that the client of this request understands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ztunnel/waypoint/http/message.h"

namespace mesh::http {

struct LocalReply {
  ResponseHead head;
  std::string body;  // empty: SendHead(head, true)
};

// The answer with `body` as text/plain; to gRPC: status 200 without a body, grpc-status from the
// HTTP status (or `grpc_status`) and `body` as grpc-message. `request` are the request's fields.
// More fields may be added to the head.
LocalReply MakeLocalReply(const HeaderMap& request, uint16_t status, std::string_view body,
                          std::optional<int> grpc_status = std::nullopt);

// Envoy's mapping: 400 → 13, 401 → 16, 403 → 7, 404 → 12, 429, 502, 503 and 504 → 14, other → 2.
int GrpcStatusOfHttp(uint16_t status);
// The other way, for a grpc-status that a request that is not gRPC is to be answered with.
uint16_t HttpStatusOfGrpc(int grpc_status);
// As grpc-message travels: bytes but 0x20 to 0x7e, and `%`, are escaped.
std::string GrpcMessage(std::string_view text);

}  // namespace mesh::http
