// Bytes of a client. The first says how they are cut, the second what the handler does. Every
// request that is read to its end is written again for an upstream and read there: it must be one
// request and the same.
#include <cstdint>
#include <string>

#include "ztunnel/waypoint/http/http1_client.h"
#include "ztunnel/waypoint/http/http1_server.h"
#include "ztunnel/waypoint/http/test_client.h"
#include "ztunnel/waypoint/http/test_server.h"
#include "ztunnel/waypoint/http/test_transport.h"

namespace {

using namespace mesh::http;

// What this proxy would send on is read by a second server as what the first one read.
void CheckForwarded(mesh::base::EventLoop& loop, const TestRequest& request) {
  if (!request.head.upgrade.empty()) return;  // its body is no part of the request
  TestPeer upstream(loop);
  TestClient client;
  TestAnswer answer;
  auto connection = MakeHttp1Client(loop, upstream.MakeTransport(), client, {});
  answer.stream = connection->Request(request.head, request.end_with_head, answer);
  if (!request.end_with_head) {
    if (!request.body.empty()) answer.stream->Write(ToBytes(request.body));
    request.trailers.empty() ? answer.stream->End()
                             : answer.stream->WriteTrailers(request.trailers);
  }
  RunTurns(loop, 1);
  MESH_CHECK(answer.closed == 0, "what was read can be written");

  TestPeer downstream(loop);
  TestServer server;
  auto second = MakeHttp1Server(loop, downstream.MakeTransport(), server, {});
  server.on_request = [](TestRequest& seen) {
    if (seen.end_with_head) seen.Answer(200, "");
    seen.on_end = [](TestRequest& self) { self.Answer(200, ""); };
  };
  downstream.Send(upstream.sent());
  if (request.head.authority.empty()) return;  // HTTP/1.0 without a Host is refused as HTTP/1.1
  MESH_CHECK(server.bad.empty() && server.requests.size() == 1, "one request");
  const TestRequest& seen = server[0];
  MESH_CHECK(seen.head.method == request.head.method && seen.head.path == request.head.path &&
                 seen.head.authority == request.head.authority && seen.body == request.body,
             "the same request");
  MESH_CHECK(ToText(seen.trailers) == ToText(request.trailers), "the same trailers");
}

void Answer(TestRequest& request, uint8_t how) {
  if (request.stream == nullptr) return;
  ResponseHead head;
  switch (how & 7) {
    case 0:
      return request.Answer(200, "ok");
    case 1:
      request.stream->SendHead(head, false);
      return request.stream->End();
    case 2:
      return request.stream->Reset(StreamError::kLocal);
    case 3:
      head.status = 100;
      return request.stream->SendInterim(head);
    case 4:
      head.status = 101;
      return request.stream->SendHead(head, false);
    case 5:
      head.status = 204;
      return request.stream->SendHead(head, true);
    case 6: {
      request.stream->SendHead(head, false);
      request.stream->Write(ToBytes("hello"));
      HeaderMap trailers;
      trailers.Add("t", "1");
      return request.stream->WriteTrailers(trailers);
    }
    default:
      return;  // never
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t cut = data[0] == 0 ? SIZE_MAX : data[0];
  const uint8_t how = data[1];
  const std::string_view input(reinterpret_cast<const char*>(data + 2), size - 2);

  static mesh::base::EventLoop loop;
  TestPeer peer(loop);
  peer.turns = cut < 16 ? 0 : 1;  // small pieces come in one turn
  TestServer server;
  const Limits limits{.head_bytes = 4096, .head_fields = 20, .line_bytes = 1024};
  auto connection = MakeHttp1Server(loop, peer.MakeTransport(), server, limits);
  server.on_request = [how](TestRequest& request) {
    request.consume = (how & 8) == 0;
    if ((how & 16) != 0 || request.end_with_head) return Answer(request, how);
    request.on_end = [how](TestRequest& self) { Answer(self, how); };
    if ((how & 32) != 0) request.on_body = [how](TestRequest& self) { Answer(self, how >> 3); };
    if (!request.head.upgrade.empty()) Answer(request, 4);
  };
  peer.Send(input, cut);
  if ((how & 64) != 0) peer.End();
  if ((how & 128) != 0) connection->Drain();
  RunTurns(loop);
  connection.reset();
  for (const auto& request : server.requests) {
    MESH_CHECK(request->closed == 1, "each stream ends once");
    if (request->end_with_head || request->ended) CheckForwarded(loop, *request);
  }
  return 0;
}
