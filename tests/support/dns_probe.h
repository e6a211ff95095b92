// One DNS client and one DNS server for tests, as programs of a pod: raw messages, so that a test
// sees flags and record counts that a resolver library would hide.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mesh::test {

// argv that asks `server` for `name` and prints one line:
//   "rcode=0 tc=0 aa=1 answers=2 10.0.0.1 10.0.0.2", or "timeout" or "error <name>".
// `how` is udp (connected), udp-unconnected (sendto; a reply from elsewhere is "error spoofed") or
// tcp. `type` is the number of the record type.
std::vector<std::string> DnsAsk(std::string_view server, std::string_view name, int type,
                                std::string_view how);

// The `containers:` of a pod (indented for `spec:`) that serves UDP and TCP on port 53: the answer
// to A is 198.51.100.7, to TXT one hundred records (truncated over UDP), to names that start with
// "no" or end in cluster.local NXDOMAIN, to all else NOERROR and empty.
std::string DnsServerContainers();

}  // namespace mesh::test
