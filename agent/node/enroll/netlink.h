// One question to the kernel's routing tables: a request is built, sent, and its answer awaited.
//
// Owner and thread: the caller, inside the network namespace in question. Never blocks for long:
// the kernel answers in the call.
#pragma once

#include <absl/status/status.h>
#include <linux/netlink.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace mesh::node {

class NetlinkRequest {
 public:
  // `body` is the family's header (rtmsg, fib_rule_hdr, ifaddrmsg).
  template <typename Body>
  NetlinkRequest(uint16_t type, uint16_t flags, const Body& body) {
    Start(type, flags, &body, sizeof(body));
  }
  template <typename Value>
  NetlinkRequest& Attribute(uint16_t type, const Value& value) {
    return AttributeBytes(type, &value, sizeof(value));
  }
  NetlinkRequest& AttributeBytes(uint16_t type, const void* bytes, size_t size);

  // Sends in the calling thread's namespace. `tolerated` (an errno, or 0) counts as success.
  absl::Status Send(std::string_view what, int tolerated = 0) const;

 private:
  void Start(uint16_t type, uint16_t flags, const void* body, size_t size);
  void Append(const void* bytes, size_t size);
  std::vector<char> buffer_;
};

}  // namespace mesh::node
