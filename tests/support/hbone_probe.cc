#include "tests/support/hbone_probe.h"

#include "tests/support/python.h"

namespace mesh::test {
namespace {

constexpr const char* kCommon = R"py(
import socket, ssl, struct, sys, threading
def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + payload
def read_frame(s):
    head = exactly(s, 9)
    return head[3], head[4], struct.unpack('>I', head[5:])[0], exactly(s, int.from_bytes(head[:3], 'big'))
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
)py";

// The first field of a response is its status: an entry of HPACK's static table, or one of its
// names with a literal, of which digits are all that can be in it.
constexpr const char* kClient = R"py(
DIGITS = {'00000': '0', '00001': '1', '00010': '2', '011001': '3', '011010': '4', '011011': '5',
          '011100': '6', '011101': '7', '011110': '8', '011111': '9'}
INDEXED = {8: '200', 9: '204', 10: '206', 11: '304', 12: '400', 13: '404', 14: '500'}
def status(block):
    while block[0] & 0xe0 == 0x20: block = block[1:]  # the table's size
    if block[0] & 0x80: return INDEXED[block[0] & 0x7f]
    assert block[0] & 0x3f in range(8, 15) or block[0] & 0x0f in range(8, 15), block
    n, text = block[1] & 0x7f, block[2:2 + (block[1] & 0x7f)]
    if not block[1] & 0x80: return text.decode()
    bits, out, at = ''.join('{:08b}'.format(b) for b in text), '', 0
    while True:
        for n in (5, 6):
            if bits[at:at + n] in DIGITS:
                out += DIGITS[bits[at:at + n]]; at += n; break
        else: return out
def ask(address, port, authority):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_STREAM)
    plain.settimeout(8)
    plain.connect((address, int(port)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(['h2'])
    context.load_cert_chain(directory + '/leaf.pem', directory + '/key.pem')
    s = context.wrap_socket(plain)
    name = authority.encode()
    s.sendall(PREFACE + frame(4, 0, 0) +
              frame(1, 4, 1, b'\x02\x07CONNECT' + b'\x01' + bytes([len(name)]) + name))
    code = None
    while True:
        kind, flags, stream, payload = read_frame(s)
        if kind == 4 and not flags & 1: s.sendall(frame(4, 1, 0))
        if kind == 7: return 'goaway'
        if stream != 1: continue
        if kind == 1:
            code = status(payload)
            if code != '200': return code
            s.sendall(frame(0, 0, 1, b'GET / HTTP/1.0\r\n\r\n'))
        if kind == 0 and payload: return code + ' ' + payload.split(b'\r\n')[0].decode()
        if kind == 3: return (code or '') + ' stream reset'
directory = sys.argv[1]
for i in range(2, len(sys.argv), 3):
    try: result = ask(*sys.argv[i:i + 3])
    except ConnectionRefusedError: result = 'refused'
    except socket.timeout: result = 'silent'
    except ConnectionResetError: result = 'reset'
    except (EOFError, BrokenPipeError, ssl.SSLError): result = 'closed'
    except OSError as e: result = 'error ' + str(e)
    print(*sys.argv[i:i + 3], result, flush=True)
)py";

constexpr const char* kServer = R"py(
directory, behaviour = sys.argv[1], compile(sys.argv[2], 'behaviour', 'exec')
def request(s):
    exactly(s, len(PREFACE))
    while read_frame(s)[0] != 1: pass
def serve(c):
    def tls():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory + '/leaf.pem', directory + '/key.pem')
        context.set_alpn_protocols(['h2'])
        return context.wrap_socket(c, server_side=True)
    try: exec(behaviour, dict(globals(), c=c, tls=tls))
    except (OSError, EOFError) as e: print(type(e).__name__, e, flush=True)
    # Also when the behaviour itself is wrong: left open, the client would wait for its TLS timeout.
    finally: c.close()
listener = socket.create_server(('0.0.0.0', 15008))
print('listening', flush=True)
while True:
    c = listener.accept()[0]
    threading.Thread(target=serve, args=(c,), daemon=True).start()
)py";

}  // namespace

std::vector<std::string> AskForTunnels(std::string_view directory,
                                       const std::vector<TunnelAsk>& asks) {
  std::vector<std::string> argv = {"python3", "-c", std::string(kPythonExactly) + kCommon + kClient,
                                   std::string(directory)};
  for (const TunnelAsk& ask : asks) {
    argv.insert(argv.end(), {ask.address, ask.port, ask.authority});
  }
  return argv;
}

std::vector<std::string> ServeTunnelsBadly(std::string_view directory, std::string_view behaviour) {
  return {"python3", "-c", std::string(kPythonExactly) + kCommon + kServer, std::string(directory),
          std::string(behaviour)};
}

}  // namespace mesh::test
