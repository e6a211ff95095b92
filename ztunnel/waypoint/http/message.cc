#include "ztunnel/waypoint/http/message.h"

#include "ztunnel/waypoint/http/chars.h"

namespace mesh::http {

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
