// A daemon that stands in for ztunnel in tests of capture: takes pods over ZDS, listens in each
// pod's namespace on ztunnel's ports and says what it sees.
//
//   15001  "to ADDRESS:PORT\n": the original destination
//   15006  connects to the original destination with the client's address, and passes that one's
//   text on 15053  UDP: "server ADDRESS:PORT": the DNS server that the asker meant; TCP: as 15001
#pragma once

#include <string>

namespace mesh::test {

// Never returns; ends when the agent's socket ends for longer than 10 s, or with the process.
[[noreturn]] void RunStandin(const std::string& zds_socket);

// "1.2.3.4:5", "[::1]:5" or "none" of a socket: SO_ORIGINAL_DST in the socket's family.
std::string OriginalDst(int fd);

}  // namespace mesh::test
