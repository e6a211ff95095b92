// HTTP/1 heads and bodies of the sample program, whole and in pieces: both must agree.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tools/meshapp/http1.h"

namespace mesh::meshapp {
namespace {

void OneBody(const absl::StatusOr<Http1Body>& framed, std::string_view in) {
  if (!framed.ok()) return;
  Http1Body whole = *framed, pieces = *framed;
  std::string a, b, waiting;
  const auto used = whole.Feed(in, &a);
  if (used.ok() && *used > in.size()) std::abort();
  for (const char c : in) {
    if (pieces.done()) break;
    waiting += c;
    const auto step = pieces.Feed(waiting, &b);
    if (!step.ok()) return;
    waiting.erase(0, *step);
  }
  if (used.ok() && whole.done() && (!pieces.done() || a != b)) std::abort();
}

}  // namespace
}  // namespace mesh::meshapp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh::meshapp;
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  Http1Head head;
  if (const auto length = ParseRequestHead(in, head); length.ok() && *length) {
    OneBody(Http1Body::OfRequest(head), in.substr(**length));
  }
  if (const auto length = ParseResponseHead(in, head); length.ok() && *length) {
    OneBody(Http1Body::OfResponse(head, false), in.substr(**length));
  }
  return 0;
}
