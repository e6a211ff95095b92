// The listeners and the forwarding, over loopback, with a name server played by the test.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "proto/workload.pb.h"
#include "ztunnel/base/log.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/dns/worker.h"

namespace mesh::dns {
namespace {

namespace pb = istio::workload;
using namespace std::string_literals;

std::string Question(std::string_view label, char id = 1) {
  std::string out = "\x00"s + id + "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"s;
  out.push_back(static_cast<char>(label.size()));
  out += label;
  return out + "\x00\x00\x01\x00\x01"s;
}

UniqueFd LoopbackSocket(int type, uint16_t connect_to) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(connect_to);
  if (connect_to == 0) {
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    if (type == SOCK_STREAM) EXPECT_EQ(::listen(fd.get(), 8), 0);
  } else {
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  return fd;
}

uint16_t PortOf(int fd) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

// "" after `timeout_ms`.
std::string Receive(int fd, int timeout_ms = 3000, sockaddr_in* from = nullptr) {
  pollfd ready{fd, POLLIN, 0};
  if (::poll(&ready, 1, timeout_ms) != 1) return "";
  char buffer[4096];
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  const ssize_t n =
      ::recvfrom(fd, buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&address), &length);
  if (from != nullptr) *from = address;
  return n <= 0 ? "" : std::string(buffer, static_cast<size_t>(n));
}

class NameServer : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
    SetLogLevels("off");
    upstream_ = LoopbackSocket(SOCK_DGRAM, 0);
    Config config;
    config.port = 0;
    config.timeout = absl::Milliseconds(300);
    config.fallback_servers = {{*IpAddress::Parse("127.0.0.1"), PortOf(upstream_.get())}};
    worker_ = std::make_unique<Worker>(loop_, config, metrics_);
    auto netns = std::make_shared<Netns>(*Netns::Current());
    // The port that UDP was given may be somebody's for TCP: then another one.
    absl::Status added = worker_->AddPod({"uid", "client", "shop", "default"}, netns);
    for (int i = 0; i < 100 && !added.ok(); ++i) {
      added = worker_->AddPod({"uid", "client", "shop", "default"}, netns);
    }
    ASSERT_TRUE(added.ok()) << added;
    worker_->SetState(State());
    port_ = worker_->PortForTest("uid");
    thread_ = std::thread([this] { loop_.Run(); });
    client_ = LoopbackSocket(SOCK_DGRAM, port_);
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    loop_.Stop();
    thread_.join();
    worker_.reset();
  }

  static state::MeshStateRef State() {
    state::StateStore store;
    pb::Address pod;
    pod.mutable_workload()->set_uid("Kubernetes//Pod/shop/client");
    pod.mutable_workload()->set_name("client");
    pod.mutable_workload()->set_namespace_("shop");
    EXPECT_TRUE(store.UpsertAddress("Kubernetes//Pod/shop/client", pod).ok());
    pb::Address service;
    service.mutable_service()->set_name("web");
    service.mutable_service()->set_namespace_("shop");
    service.mutable_service()->set_hostname("web.shop.svc.cluster.local");
    for (uint32_t i = 0; i < 100; ++i) {
      service.mutable_service()->add_addresses()->set_address(
          IpAddress::V4(0x0a600000 + i).ToBytes());
    }
    EXPECT_TRUE(store.UpsertAddress("shop/web.shop.svc.cluster.local", service).ok());
    return store.Publish();
  }
  void Send(const std::string& message) {
    ASSERT_EQ(::send(client_.get(), message.data(), message.size(), 0),
              static_cast<ssize_t>(message.size()));
  }
  std::string ReceiveUpstream() { return Receive(upstream_.get(), 3000, &asker_); }
  void AnswerUpstream(const std::string& message) {
    ::sendto(upstream_.get(), message.data(), message.size(), 0,
             reinterpret_cast<sockaddr*>(&asker_), sizeof(asker_));
  }

  base::EventLoop loop_;
  telemetry::MetricsRegistry registry_;
  Metrics metrics_{registry_};
  std::unique_ptr<Worker> worker_;
  std::thread thread_;
  UniqueFd upstream_, client_;
  sockaddr_in asker_{};
  uint16_t port_ = 0;
};

TEST_F(NameServer, LargeAnswersAreCutOverUdpAndWholeOverTcp) {
  Send(Question("web"));
  const std::string cut = Receive(client_.get());
  ASSERT_GT(cut.size(), 12u);
  EXPECT_LE(cut.size(), 512u);
  EXPECT_TRUE(cut[2] & 2);

  const UniqueFd tcp = LoopbackSocket(SOCK_STREAM, port_);
  const std::string question = Question("web");
  const std::string framed = "\x00"s + static_cast<char>(question.size()) + question;
  ASSERT_EQ(::send(tcp.get(), framed.data(), 5, 0), 5);  // in two pieces
  ASSERT_GT(::send(tcp.get(), framed.data() + 5, framed.size() - 5, 0), 0);
  std::string whole;
  while (whole.size() < 14) {
    const std::string piece = Receive(tcp.get());
    ASSERT_FALSE(piece.empty());
    whole += piece;
  }
  EXPECT_EQ(static_cast<uint8_t>(whole[9]), 100);  // all answers
}

TEST_F(NameServer, OtherNamesGoUnchangedAndTheAnswerComesBackUnchanged) {
  const std::string question = Question("elsewhere", 7);
  Send(question);
  EXPECT_EQ(ReceiveUpstream(), question);
  std::string forged = question;
  forged[2] = static_cast<char>(0x81);
  forged[1] = 9;  // another id: not the answer
  AnswerUpstream(forged);
  std::string answer = question + "whatever follows"s;
  answer[2] = static_cast<char>(0x81);
  AnswerUpstream(answer);
  EXPECT_EQ(Receive(client_.get()), answer);
}

TEST_F(NameServer, ASilentServerIsAServerFailureAfterTheTimeoutAndMeshNamesStillWork) {
  Send(Question("elsewhere", 3));
  EXPECT_FALSE(ReceiveUpstream().empty());
  Send(Question("web", 4));
  EXPECT_EQ(Receive(client_.get())[1], 4);
  const std::string failure = Receive(client_.get());
  ASSERT_FALSE(failure.empty());
  EXPECT_EQ(failure[1], 3);
  EXPECT_EQ(failure[3] & 0xf, 2);
}

TEST_F(NameServer, AnAbsentServerIsAServerFailureAtOnce) {
  upstream_.Reset();
  const absl::Time start = absl::Now();
  Send(Question("elsewhere", 5));
  const std::string failure = Receive(client_.get());
  ASSERT_FALSE(failure.empty());
  EXPECT_EQ(failure[3] & 0xf, 2);
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(200));
}

TEST_F(NameServer, ForwardsOverTcp) {
  const UniqueFd tcp_upstream(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(PortOf(upstream_.get()));
  ASSERT_EQ(::bind(tcp_upstream.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(tcp_upstream.get(), 1), 0);
  const UniqueFd tcp = LoopbackSocket(SOCK_STREAM, port_);
  const std::string question = Question("elsewhere");
  const std::string framed = "\x00"s + static_cast<char>(question.size()) + question;
  ASSERT_GT(::send(tcp.get(), framed.data(), framed.size(), 0), 0);
  const UniqueFd asked(::accept(tcp_upstream.get(), nullptr, nullptr));
  std::string got;
  while (got.size() < framed.size()) got += Receive(asked.get());
  EXPECT_EQ(got, framed);
  std::string answer = framed;
  answer[4] = static_cast<char>(0x81);
  ASSERT_GT(::send(asked.get(), answer.data(), answer.size(), 0), 0);
  got.clear();
  while (got.size() < answer.size()) {
    const std::string piece = Receive(tcp.get());
    ASSERT_FALSE(piece.empty());
    got += piece;
  }
  EXPECT_EQ(got, answer);
}

TEST_F(NameServer, InFlightQueriesAreBounded) {
  for (int i = 0; i < 600; ++i) {
    Send(Question("elsewhere", static_cast<char>(i)));
    if (i % 64 == 63) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(Receive(client_.get(), 100)[3] & 0xf, 2);  // before the timeout
}

TEST_F(NameServer, RemovingAPodClosesItsListeners) {
  std::promise<void> removed;
  loop_.Post([&] {
    worker_->RemovePod("uid");
    removed.set_value();
  });
  removed.get_future().get();
  Send(Question("web"));
  EXPECT_EQ(Receive(client_.get(), 50), "");
}

TEST(Nameservers, AreReadFromResolvConf) { EXPECT_TRUE(ReadNameservers("/nonexistent").empty()); }

}  // namespace
}  // namespace mesh::dns
