// HTTP/2 and gRPC echo over real sockets, asked by an nghttp2 client session.
#include "tools/meshapp/h2_protocol.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <map>
#include <thread>

#include "tools/meshapp/http_protocol.h"
#include "tools/meshapp/server.h"

namespace mesh::meshapp {
namespace {

Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(10); }

// One connection of a client; streams are kept as what came back.
class H2Client {
 public:
  struct Answer {
    std::map<std::string, std::string> headers;  // trailers too
    std::string body;
    bool closed = false;
    uint32_t error = 0;
  };

  explicit H2Client(uint16_t port) {
    fd_ = *Connect({"127.0.0.1", std::to_string(port)}, Soon());
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
           const uint8_t* value, size_t value_size, uint8_t, void* self) {
          Of(self, frame->hd.stream_id)
              .headers[std::string(reinterpret_cast<const char*>(name), name_size)]
              .assign(reinterpret_cast<const char*>(value), value_size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
          Of(self, id).body.append(reinterpret_cast<const char*>(data), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, int32_t id, uint32_t error, void* self) {
          Of(self, id).closed = true;
          Of(self, id).error = error;
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
  }
  ~H2Client() { nghttp2_session_del(session_); }

  // After an upgrade of HTTP/1.1: the request is stream 1, whose answer is on its way.
  void Upgrade() {
    const std::string request =
        "GET /up HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
        "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    ASSERT_TRUE(SendAll(fd_.get(), request).ok());
    std::string in;
    while (in.find("\r\n\r\n") == std::string::npos) {
      char c;
      ASSERT_EQ(ReceiveSome(fd_.get(), &c, 1, Soon()).value_or(0), 1u);
      in += c;
    }
    ASSERT_TRUE(in.starts_with("HTTP/1.1 101"));
    const uint8_t settings[] = {0, 3, 0, 0, 0, 100, 0, 4, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0};
    ASSERT_EQ(nghttp2_session_upgrade2(session_, settings, sizeof(settings), 0, nullptr), 0);
    Greet();
  }
  void Greet() { nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0); }

  int32_t Ask(const std::string& path, std::string body, bool grpc, bool end = true) {
    const auto nv = [](std::string_view name, std::string_view value) {
      return nghttp2_nv{reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                        value.size(), NGHTTP2_NV_FLAG_NONE};
    };
    const nghttp2_nv headers[] = {nv(":method", grpc ? "POST" : "GET"), nv(":scheme", "http"),
                                  nv(":path", path), nv(":authority", "test"),
                                  nv("content-type", grpc ? "application/grpc" : "text/plain")};
    pending_ = std::move(body);
    ended_ = end;
    nghttp2_data_provider provider = {
        .source = {.ptr = this},
        .read_callback = [](nghttp2_session*, int32_t, uint8_t* out, size_t size, uint32_t* flags,
                            nghttp2_data_source* source, void*) -> ssize_t {
          auto* self = static_cast<H2Client*>(source->ptr);
          const size_t n = std::min(size, self->pending_.size());
          std::memcpy(out, self->pending_.data(), n);
          self->pending_.erase(0, n);
          if (self->pending_.empty() && self->ended_)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
          else if (n == 0)
            return NGHTTP2_ERR_DEFERRED;
          return static_cast<ssize_t>(n);
        }};
    stream_ = nghttp2_submit_request(session_, nullptr, headers, std::size(headers),
                                     grpc ? &provider : nullptr, nullptr);
    return stream_;
  }
  void Send(std::string more, bool end) {
    pending_ += more;
    ended_ = end;
    nghttp2_session_resume_data(session_, stream_);
  }

  // Exchanges bytes until `done` holds or the server ended the connection.
  bool Until(const std::function<bool()>& done) {
    while (true) {
      const uint8_t* out = nullptr;
      while (true) {
        const ssize_t n = nghttp2_session_mem_send(session_, &out);
        if (n <= 0) break;
        if (!SendAll(fd_.get(), {reinterpret_cast<const char*>(out), static_cast<size_t>(n)}).ok())
          return done();
      }
      if (done()) return true;
      char buffer[65536];
      const auto n = ReceiveSome(fd_.get(), buffer, sizeof(buffer), Soon());
      if (!n.ok() || *n == 0) return done();
      if (nghttp2_session_mem_recv(session_, reinterpret_cast<uint8_t*>(buffer), *n) < 0)
        return false;
    }
  }
  Answer& answer(int32_t id) { return answers_[id]; }

 private:
  static Answer& Of(void* self, int32_t id) { return static_cast<H2Client*>(self)->answers_[id]; }
  UniqueFd fd_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Answer> answers_;
  std::string pending_;
  bool ended_ = true;
  int32_t stream_ = 0;
};

class H2Server : public testing::Test {
 protected:
  H2Server() : thread_([this] { loop_->Run(); }) {}
  ~H2Server() override {
    loop_->Post([this] {
      server_->Drain([this] { loop_->Stop(); });
      loop_->After(std::chrono::milliseconds(200), [this] { loop_->Stop(); });
    });
    thread_.join();
  }
  const EchoApp app_{"shop", "v1", "pod", {}};
  std::unique_ptr<Loop> loop_ = *Loop::Open();
  Upstreams upstreams_{1};
  Service service_{*loop_, app_, upstreams_, {}};
  std::unique_ptr<Server> server_ = *Server::Listen(*loop_, 0, [this](Connection& connection) {
    return std::make_unique<Http1Protocol>(connection, service_);
  });
  std::thread thread_;
};

std::string Message(std::string_view text) {  // one gRPC message, not compressed
  return std::string("\0\0\0\0", 4) + static_cast<char>(text.size()) + std::string(text);
}

TEST_F(H2Server, AnswersByPriorKnowledge) {
  H2Client client(server_->port());
  client.Greet();
  const int32_t one = client.Ask("/one?delay=20ms", "", false);
  const int32_t two = client.Ask("/two?size=2M", "", false);
  ASSERT_TRUE(client.Until([&] { return client.answer(one).closed && client.answer(two).closed; }));
  EXPECT_EQ(client.answer(one).headers[":status"], "200");
  EXPECT_NE(client.answer(one).body.find("\"protocol\":\"HTTP/2\""), std::string::npos);
  EXPECT_EQ(client.answer(two).body.size(), 2u << 20);
}

TEST_F(H2Server, UpgradesFromHttp1) {
  H2Client client(server_->port());
  client.Upgrade();
  ASSERT_TRUE(client.Until([&] { return client.answer(1).closed; }));
  EXPECT_NE(client.answer(1).body.find("\"path\":\"/up\""), std::string::npos)
      << client.answer(1).body;
}

TEST_F(H2Server, GrpcUnaryComesBackWithItsTrailers) {
  H2Client client(server_->port());
  client.Greet();
  const int32_t id = client.Ask("/echo.EchoService/Echo", Message("hello"), true);
  ASSERT_TRUE(client.Until([&] { return client.answer(id).closed; }));
  EXPECT_EQ(client.answer(id).body, Message("hello"));
  EXPECT_EQ(client.answer(id).headers["grpc-status"], "0");
}

TEST_F(H2Server, GrpcStreamIsEchoedMessageByMessage) {
  H2Client client(server_->port());
  client.Greet();
  const int32_t id = client.Ask("/echo.EchoService/EchoStream", Message("one"), true, false);
  ASSERT_TRUE(client.Until([&] { return client.answer(id).body == Message("one"); }));
  EXPECT_FALSE(client.answer(id).closed);
  client.Send(Message("two"), true);
  ASSERT_TRUE(client.Until([&] { return client.answer(id).closed; }));
  EXPECT_EQ(client.answer(id).body, Message("one") + Message("two"));
  EXPECT_EQ(client.answer(id).headers["grpc-status"], "0");
}

TEST_F(H2Server, GrpcMoreThanAWindowIsEchoedWhole) {
  H2Client client(server_->port());
  client.Greet();
  const std::string much(5 << 20, 'g');
  const int32_t id = client.Ask("/echo.EchoService/Echo", much, true);
  ASSERT_TRUE(client.Until([&] { return client.answer(id).closed; }));
  EXPECT_EQ(client.answer(id).body, much);
}

TEST_F(H2Server, GrpcUnknownMethodIsUnimplemented) {
  H2Client client(server_->port());
  client.Greet();
  const int32_t id = client.Ask("/echo.EchoService/Nothing", Message("x"), true);
  ASSERT_TRUE(client.Until([&] { return client.answer(id).closed; }));
  EXPECT_EQ(client.answer(id).headers["grpc-status"], "12");
  const int32_t health = client.Ask("/grpc.health.v1.Health/Check", Message(""), true);
  ASSERT_TRUE(client.Until([&] { return client.answer(health).closed; }));
  EXPECT_EQ(client.answer(health).body, Message("\x08\x01"));
}

TEST_F(H2Server, ResetOnRequestResetsTheStreamAlone) {
  H2Client client(server_->port());
  client.Greet();
  const int32_t id = client.Ask("/?reset=1", "", false);
  ASSERT_TRUE(client.Until([&] { return client.answer(id).closed; }));
  EXPECT_EQ(client.answer(id).error, static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR));
  const int32_t next = client.Ask("/", "", false);
  ASSERT_TRUE(client.Until([&] { return client.answer(next).closed; }));
  EXPECT_EQ(client.answer(next).headers[":status"], "200");
}

}  // namespace
}  // namespace mesh::meshapp
