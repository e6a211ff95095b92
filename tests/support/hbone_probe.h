// The two ends of a tunnel written by hand, as programs of a pod: they do what no client or server
// that is right would do, and show what came back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mesh::test {

// One CONNECT: to port `port` of `address`, asking for `authority`.
struct TunnelAsk {
  std::string address;
  std::string port;
  std::string authority;
};

// argv that asks for each in turn, each over a connection of its own with the certificate in
// `directory` (key.pem, leaf.pem), and prints a line for each:
//   "10.1.2.3 15008 10.1.2.3:8080 200 HTTP/1.1 200 OK"   what an HTTP server behind it answered
//   "10.1.2.3 15008 10.1.2.3:15001 503"
//   "127.0.0.1 15008 127.0.0.1:80 refused"              or closed, reset, silent (8 s)
std::vector<std::string> AskForTunnels(std::string_view directory,
                                       const std::vector<TunnelAsk>& asks);

// argv of a tunnel's server on port 15008 with the certificate in `directory` that treats every
// connection by the Python statement `behaviour`: `c` is the accepted socket, `tls()` ends TLS on
// it, `frame(type, flags, stream, payload)` makes an HTTP/2 frame, `request(s)` reads up to the
// first HEADERS frame of the client's. The connection is closed when the statement is done, or
// fails. Prints "listening" first; a statement that is no Python is never served.
std::vector<std::string> ServeTunnelsBadly(std::string_view directory, std::string_view behaviour);

}  // namespace mesh::test
