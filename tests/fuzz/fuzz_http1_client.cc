// Bytes of an upstream. The first says how they are cut, the second what is asked.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ztunnel/waypoint/http/http1_client.h"
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t cut = data[0] == 0 ? SIZE_MAX : data[0];
  const uint8_t how = data[1];
  const std::string_view input(reinterpret_cast<const char*>(data + 2), size - 2);

  mesh::base::EventLoop loop;
  TestPeer peer(loop);
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
    }
  }
  return 0;
}
