// The name service's parser and answers: whatever a pod sends, and whatever a server answers.
#include <cstdint>
#include <cstdlib>

#include "ztunnel/base/dns/message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh::dns;
  const Bytes message(reinterpret_cast<const std::byte*>(data), size);
  const auto query = ParseQuery(message);
  if (!query.ok()) {
    (void)BuildFormatError(message);
    return 0;
  }
  Answer answer{.authoritative = true, .cname = "web.shop.svc.cluster.local"};
  for (uint32_t i = 0; i < 64; ++i) answer.addresses.push_back(mesh::IpAddress::V4(i));
  const std::string reply = BuildAnswer(message, *query, answer, query->UdpLimit());
  if (reply.size() > query->UdpLimit()) std::abort();
  // An answer answers its question, and is no query itself.
  const Bytes bytes = std::as_bytes(std::span(reply));
  if (!Answers(bytes, message, *query) || ParseQuery(bytes).ok()) std::abort();
  return 0;
}
