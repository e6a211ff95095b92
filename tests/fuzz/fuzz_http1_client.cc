// Bytes of an upstream. The first says how they are cut, the second what is asked. Every answer
// that is read to its end is written again for a client and read there: it must be the same.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ztunnel/waypoint/http/http1_client.h"
#include "ztunnel/waypoint/http/http1_server.h"
#include "ztunnel/waypoint/http/test_client.h"
#include "ztunnel/waypoint/http/test_transport.h"

namespace {

using namespace mesh::http;

RequestHead MakeRequest(uint8_t how) {
  RequestHead head;
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "OPTIONS"};
  head.method = kMethods[how & 3];
  head.authority = "example.com";
  head.path = "/";
  if ((how & 4) != 0) {
    head.upgrade = "websocket";
    head.headers.Add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
  }
  return head;
}

void Forward(TestRequest& request, const TestAnswer& answer) {
  request.stream->SendHead(answer.head, answer.end_with_head);
  if (answer.end_with_head) return;
  request.stream->Write(ToBytes(answer.body));
  answer.trailers.empty() ? request.stream->End() : request.stream->WriteTrailers(answer.trailers);
}

void CheckForwarded(mesh::base::EventLoop& loop, const TestAnswer& answer, RequestHead asked) {
  if (answer.head.status == 101) return;  // its body has no end of its own
  asked.upgrade.clear();
  TestPeer client_peer(loop);
  TestClient visitor;
  TestAnswer seen;
  auto client = MakeHttp1Client(loop, client_peer.MakeTransport(), visitor, {});
  seen.stream = client->Request(asked, true, seen);

  TestPeer server_peer(loop);
  TestServer server;
  auto connection = MakeHttp1Server(loop, server_peer.MakeTransport(), server, {});
  server.on_request = [&answer](TestRequest& request) { Forward(request, answer); };
  server_peer.Send(client_peer.sent());
  MESH_CHECK(!server_peer.was_reset(), "what was read can be written");

  client_peer.Send(server_peer.sent());
  MESH_CHECK(seen.complete() && client->Capacity() == 1, "one answer");
  MESH_CHECK(seen.head.status == answer.head.status && seen.body == answer.body, "the same answer");
  MESH_CHECK(ToText(seen.trailers) == ToText(answer.trailers), "the same trailers");
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
  TestClient client;
  const Limits limits{.head_bytes = 4096, .head_fields = 20, .line_bytes = 1024};
  auto connection = MakeHttp1Client(loop, peer.MakeTransport(), client, limits);
  std::vector<std::unique_ptr<TestAnswer>> answers;
  const auto ask = [&] {
    while (answers.size() < 8 && connection->Capacity() > 0) {
      answers.push_back(std::make_unique<TestAnswer>());
      TestAnswer& answer = *answers.back();
      answer.consume = (how & 8) == 0;
      if ((how & 32) != 0) {
        answer.on_head = [](TestAnswer& self) { self.stream->Reset(StreamError::kLocal); };
      }
      const bool end = (how & 16) == 0;
      answer.stream = connection->Request(MakeRequest(how), end, answer);
      if (end) return;
      answer.stream->Write(ToBytes("hello"));
      if ((how & 64) != 0) answer.stream->End();
    }
  };
  ask();
  for (size_t at = 0; at < input.size() && peer.open(); at += std::min(cut, input.size() - at)) {
    peer.Send(input.substr(at, cut));
    ask();
  }
  if ((how & 128) != 0) peer.End();
  RunTurns(loop);
  connection.reset();
  for (const auto& answer : answers) {
    MESH_CHECK(answer->closed == 1, "each stream ends once");
    if (answer->complete()) {
      MESH_CHECK(answer->heads == 1 && (answer->ended || answer->end_with_head), "in full");
      CheckForwarded(loop, *answer, MakeRequest(how));
    }
  }
  return 0;
}
