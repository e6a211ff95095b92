// The servers over real sockets on loopback, one loop in a thread.
#include "tools/meshapp/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "tools/meshapp/fetch.h"
#include "tools/meshapp/http_protocol.h"
#include "tools/meshapp/load.h"
#include "tools/meshapp/tcp_protocol.h"

namespace mesh::meshapp {
namespace {

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(10); }

// A server of one kind for the length of a test.
class Running {
 public:
  explicit Running(Server::Factory factory) { Start(std::move(factory)); }
  explicit Running(const App& app) {
    service_ = std::make_unique<Service>(*loop_, app, upstreams_, Service::Options{});
    Start([this](Connection& connection) {
      return std::make_unique<Http1Protocol>(connection, *service_);
    });
  }
  ~Running() {
    loop_->Post([this] { server_->Drain([this] { loop_->Stop(); }); });
    thread_.join();
  }
  HostPort at(const char* host = "127.0.0.1") const {
    return {host, std::to_string(server_->port())};
  }

 private:
  void Start(Server::Factory factory) {
    server_ = *Server::Listen(*loop_, 0, std::move(factory));
    thread_ = std::thread([this] { loop_->Run(); });
  }
  std::unique_ptr<Loop> loop_ = *Loop::Open();
  std::unique_ptr<Service> service_;
  std::unique_ptr<Server> server_;
  Upstreams upstreams_{2};
  std::thread thread_;
};

FetchRequest To(const HostPort& to, std::string path) {
  FetchRequest request;
  request.to = to;
  request.path = std::move(path);
  return request;
}

std::string Raw(const HostPort& to, std::string_view bytes, bool half_close = true) {
  absl::StatusOr<UniqueFd> fd = Connect(to, Soon());
  if (!fd.ok() || !SendAll(fd->get(), bytes).ok()) return "failed";
  if (half_close) ::shutdown(fd->get(), SHUT_WR);
  std::string all;
  char buffer[65536];
  while (true) {
    const auto n = ReceiveSome(fd->get(), buffer, sizeof(buffer), Soon());
    if (!n.ok()) return all + "<" + std::string(n.status().message()) + ">";
    if (*n == 0) return all;
    all.append(buffer, *n);
  }
}

TEST(HttpServer, DescribesTheRequestInBothFamilies) {
  const EchoApp app("shop", "v2", "pod-1", {});
  const Running server(app);
  for (const char* host : {"127.0.0.1", "::1"}) {
    FetchRequest request = To(server.at(host), "/x?y=1");
    request.headers = {{"x-request-id", "42"}};
    const auto got = Fetch(request, Soon());
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->status, 200);
    EXPECT_NE(got->body.find(R"("service":"shop","version":"v2","pod":"pod-1")"), std::string::npos)
        << got->body;
    EXPECT_NE(got->body.find(R"("x-request-id":"42")"), std::string::npos) << got->body;
    EXPECT_NE(got->body.find(host), std::string::npos) << got->body;
  }
}

TEST(HttpServer, FailsAndIsSlowOnRequest) {
  const EchoApp app("shop", "v1", "pod", {});
  const Running server(app);
  EXPECT_EQ(Fetch(To(server.at(), "/?status=503"), Soon())->status, 503);
  EXPECT_EQ(Fetch(To(server.at(), "/?fail=1&status=500"), Soon())->status, 500);
  EXPECT_EQ(Fetch(To(server.at(), "/?fail=0&status=500"), Soon())->status, 200);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Fetch(To(server.at(), "/?delay=120ms"), Soon())->status, 200);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(115));
  EXPECT_EQ(Fetch(To(server.at(), "/?size=3M"), Soon())->body.size(), 3u << 20);
  EXPECT_FALSE(Fetch(To(server.at(), "/?reset=1"), Soon()).ok());
  const auto chunked = Fetch(To(server.at(), "/?chunks=7&gap=2ms"), Soon());
  ASSERT_TRUE(chunked.ok()) << chunked.status();
  EXPECT_EQ(Find(chunked->headers, "transfer-encoding"), "chunked");
  EXPECT_EQ(chunked->body.back(), '\n');
}

TEST(HttpServer, KeepsConnectionsAndAnswersPipelinedRequestsInOrder) {
  const EchoApp app("shop", "v1", "pod", {});
  const Running server(app);
  const std::string out = Raw(server.at(),
                              "GET /one?delay=30ms HTTP/1.1\r\nhost: a\r\n\r\n"
                              "POST /two HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"
                              "GET /three HTTP/1.1\r\nconnection: close\r\n\r\n");
  const size_t one = out.find("/one"), two = out.find("/two"), three = out.find("/three");
  EXPECT_TRUE(one < two && two < three && three != std::string::npos) << out;
  EXPECT_NE(out.find("\"received_bytes\":3"), std::string::npos) << out;
}

TEST(HttpServer, RefusesWhatIsNoHttp) {
  const EchoApp app("shop", "v1", "pod", {});
  const Running server(app);
  EXPECT_TRUE(Raw(server.at(), "NONSENSE\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(Raw(server.at(), std::string(70'000, 'x'), false).starts_with("HTTP/1.1 400"));
}

TEST(HttpServer, AsksItsUpstreamsWithTheTraceHeaders) {
  const EchoApp ratings("ratings", "v1", "pod", {});
  const Running upstream(ratings);
  const EchoApp reviews("reviews", "v1", "pod", {{upstream.at(), "/ratings/0"}});
  const Running server(reviews);
  FetchRequest request = To(server.at(), "/");
  request.headers = {{"x-b3-traceid", "abc"}, {"cookie", "no"}};
  const auto got = Fetch(request, Soon());
  ASSERT_TRUE(got.ok()) << got.status();
  const std::string inner = got->body.substr(got->body.find("\"upstreams\""));
  EXPECT_NE(inner.find(R"("service":"ratings")"), std::string::npos) << got->body;
  EXPECT_NE(inner.find(R"("x-b3-traceid":"abc")"), std::string::npos) << got->body;
  EXPECT_EQ(inner.find("cookie"), std::string::npos) << got->body;
}

TEST(HttpServer, UpstreamThatIsAwayIs502) {
  const EchoApp app("reviews", "v1", "pod", {{{"127.0.0.1", "1"}, "/"}});
  const Running server(app);
  EXPECT_EQ(Fetch(To(server.at(), "/"), Soon())->status, 502);
  EXPECT_EQ(Fetch(To(server.at(), "/health"), Soon())->status, 200);
}

TEST(TcpServer, EchoPassesEverythingAndTheEnd) {
  const Running server(
      [](Connection& connection) { return std::make_unique<EchoProtocol>(connection, ""); });
  std::string data;
  for (int i = 0; i < 500'000; ++i) data += static_cast<char>(i * 31);
  EXPECT_EQ(Raw(server.at(), data), data);
  const Running first(
      [](Connection& connection) { return std::make_unique<EchoProtocol>(connection, "hi\n"); });
  EXPECT_EQ(Raw(first.at(), "x"), "hi\nx");
}

TEST(Load, EachModeCountsWithoutErrors) {
  const Running echo(
      [](Connection& connection) { return std::make_unique<EchoProtocol>(connection, ""); });
  const Running sink(
      [](Connection& connection) { return std::make_unique<SinkProtocol>(connection); });
  const Running source(
      [](Connection& connection) { return std::make_unique<SourceProtocol>(connection); });
  const EchoApp app("shop", "v1", "pod", {});
  const Running http(app);
  LoadOptions options;
  options.connections = 2;
  options.time = std::chrono::milliseconds(150);
  const auto check = [](const char* mode, const absl::StatusOr<LoadResult>& result) {
    ASSERT_TRUE(result.ok()) << mode << result.status();
    EXPECT_GT(result->done, 0u) << mode;
    EXPECT_EQ(result->errors, 0u) << mode << result->last_error;
  };
  options.to = echo.at();
  check("short", LoadShort(options));
  check("rr", LoadRoundTrips(options));
  check("idle", LoadIdle(options));
  options.to = sink.at();
  check("bulk", LoadBulk(options));
  options.to = source.at();
  options.reverse = true;
  check("reverse", LoadBulk(options));
  options.to = http.at();
  options.path = "/?size=100";
  check("http", LoadHttp(options));
}

}  // namespace
}  // namespace mesh::meshapp
