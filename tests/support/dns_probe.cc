#include "tests/support/dns_probe.h"

#include "tests/support/python.h"

namespace mesh::test {
namespace {

constexpr const char* kClient = R"py(
import socket, struct, sys, ipaddress
server, name, qtype, how = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
def qname(n): return b''.join(bytes([len(p)]) + p.encode() for p in n.split('.') if p) + b'\0'
query = struct.pack('>HHHHHH', 0x4d53, 0x0100, 1, 0, 0, 0) + qname(name) + struct.pack('>HH', qtype, 1)
family = socket.AF_INET6 if ':' in server else socket.AF_INET
def skip(m, at):
    while True:
        n = m[at]
        if n >= 192: return at + 2
        if n == 0: return at + 1
        at += n + 1
try:
    s = socket.socket(family, socket.SOCK_STREAM if how == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(8)
    if how == 'udp-unconnected':
        s.sendto(query, (server, 53)); m, source = s.recvfrom(65535)
        if source[:2] != (server, 53): print('error spoofed', source); sys.exit(0)
    elif how == 'udp':
        s.connect((server, 53)); s.send(query); m = s.recv(65535)
    else:
        s.connect((server, 53)); s.sendall(struct.pack('>H', len(query)) + query)
        m = exactly(s, struct.unpack('>H', exactly(s, 2))[0])
    ident, flags, qd, an, ns, ar = struct.unpack('>HHHHHH', m[:12])
    if ident != 0x4d53: print('error id'); sys.exit(0)
    at, found = 12, []
    for _ in range(qd): at = skip(m, at) + 4
    for _ in range(an):
        at = skip(m, at); t, c, ttl, n = struct.unpack('>HHIH', m[at:at + 10]); at += 10
        if t in (1, 28): found.append(str(ipaddress.ip_address(m[at:at + n])))
        at += n
    print('rcode=%d tc=%d aa=%d answers=%d' % (flags & 15, flags >> 9 & 1, flags >> 10 & 1, an), *sorted(found))
except socket.timeout: print('timeout')
except Exception as e: print('error', type(e).__name__, e)
)py";

constexpr const char* kServerPod = R"py(
  containers:
  - name: dns
    image: culvert/meshapp
    command:
    - python3
    - -c
    - |
      import socket, struct, threading
      def answer(q, udp):
          at = 12
          while q[at]: at += q[at] + 1
          kind = struct.unpack('>H', q[at + 1:at + 3])[0]
          code = 3 if q[13:15] == b'no' or b'\7cluster\5local\0' in q else 0
          records, truncated = [], 0
          head = b'\xc0\x0c'
          if code == 0 and kind == 1:
              records = [head + struct.pack('>HHIH', 1, 1, 77, 4) + bytes([198, 51, 100, 7])]
          if code == 0 and kind == 16:
              records = [head + struct.pack('>HHIH', 16, 1, 77, 41) + bytes([40]) + b'x' * 40] * 100
          if udp and len(records) > 9: records, truncated = [], 0x200
          flags = 0x8180 | truncated | code
          return (q[:2] + struct.pack('>HHHHH', flags, 1, len(records), 0, 0) + q[12:at + 5]
                  + b''.join(records))
      udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('0.0.0.0', 53))
      listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      listener.bind(('0.0.0.0', 53)); listener.listen(64)
      def tcp():
          while True:
              c, _ = listener.accept()
              q = c.recv(4096)
              if len(q) == 2: q += c.recv(4096)
              if len(q) > 16:
                  a = answer(q[2:], False); c.sendall(struct.pack('>H', len(a)) + a)
              c.close()
      threading.Thread(target=tcp, daemon=True).start()
      while True:
          q, peer = udp.recvfrom(4096); udp.sendto(answer(q, True), peer)
)py";

}  // namespace

std::vector<std::string> DnsAsk(std::string_view server, std::string_view name, int type,
                                std::string_view how) {
  return {"python3",
          "-c",
          std::string(kPythonExactly) + kClient,
          std::string(server),
          std::string(name),
          std::to_string(type),
          std::string(how)};
}

std::string DnsServerContainers() { return kServerPod; }

}  // namespace mesh::test
