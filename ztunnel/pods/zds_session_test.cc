// The client and the manager together, against a node agent played by the test.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include "proto/zds.pb.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/pods/zds_client.h"

namespace mesh::pods {
namespace {

namespace zds = istio::workload::zds;

class FakeHost : public PodHost {
 public:
  explicit FakeHost(base::EventLoop& loop) : loop_(loop) {}
  void Start(tunnel::PodRef pod, std::function<void(absl::Status)> done) override {
    std::lock_guard lock(mutex_);
    log_.push_back("start " + pod->uid);
    const absl::Status status = failing_ == pod->uid ? Unavailable("port taken") : absl::OkStatus();
    loop_.Post([done = std::move(done), status] { done(status); });
  }
  void Stop(tunnel::PodRef pod, tunnel::Worker::Removal removal) override {
    std::lock_guard lock(mutex_);
    log_.push_back((removal == tunnel::Worker::Removal::kDrain ? "drain " : "abort ") + pod->uid);
  }
  void Fail(std::string uid) {
    std::lock_guard lock(mutex_);
    failing_ = std::move(uid);
  }
  std::vector<std::string> Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(log_, {});
  }

 private:
  base::EventLoop& loop_;
  std::mutex mutex_;
  std::string failing_;
  std::vector<std::string> log_;
};

using Log = std::vector<std::string>;

class ZdsSession : public ::testing::Test {
 protected:
  void SetUp() override {
    SetLogLevels("off");
    dir_ = std::filesystem::temp_directory_path() / ("zds-test-" + std::to_string(::getpid()));
    std::filesystem::create_directory(dir_);
    listener_.Reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = dir_ / "zds.sock";
    std::memcpy(address.sun_path, path.data(), path.size());
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::listen(listener_.get(), 4), 0);
    client_ = std::make_unique<ZdsClient>(loop_, path, pods_);
    client_->Start();
    thread_ = std::thread([this] { loop_.Run(); });
    Accept();
  }
  void TearDown() override {
    loop_.Stop();
    thread_.join();
    client_.reset();
    std::filesystem::remove_all(dir_);
  }

  void Accept() {
    pollfd ready{listener_.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&ready, 1, 5000), 1) << "no connection";
    agent_.Reset(::accept(listener_.get(), nullptr, nullptr));
    EXPECT_EQ(Receive(), "\x08\x01");
  }

  // "" when the other end closed.
  std::string Receive() {
    pollfd ready{agent_.get(), POLLIN, 0};
    if (::poll(&ready, 1, 5000) != 1) return "timeout";
    char buffer[kMaxPacketBytes];
    const ssize_t n = ::recv(agent_.get(), buffer, sizeof(buffer), 0);
    return n <= 0 ? "" : std::string(buffer, static_cast<size_t>(n));
  }

  void Send(const zds::WorkloadRequest& request, int fd = -1) {
    std::string bytes = request.SerializeAsString();
    iovec iov{bytes.data(), bytes.size()};
    msghdr msg{};
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (fd >= 0) {
      msg.msg_control = control;
      msg.msg_controllen = sizeof(control);
      cmsghdr* c = CMSG_FIRSTHDR(&msg);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    ASSERT_EQ(::sendmsg(agent_.get(), &msg, 0), static_cast<ssize_t>(bytes.size()));
  }

  std::string Ack() {
    const std::string bytes = Receive();
    zds::WorkloadResponse response;
    if (!response.ParseFromString(bytes) || !response.has_ack()) return "no ack: " + bytes;
    return response.ack().error();
  }

  // Any file stands for a namespace here: what counts is which inode it is.
  std::string Add(const std::string& uid, const std::string& netns = "/dev/null") {
    zds::WorkloadRequest request;
    request.mutable_add()->set_uid(uid);
    request.mutable_add()->mutable_workload_info()->set_name(uid);
    request.mutable_add()->mutable_workload_info()->set_namespace_("shop");
    const UniqueFd fd(::open(netns.c_str(), O_RDONLY | O_CLOEXEC));
    Send(request, fd.get());
    return Ack();
  }
  std::string Keep(const std::string& uid) {
    zds::WorkloadRequest request;
    request.mutable_keep()->set_uid(uid);
    Send(request);
    return Ack();
  }
  std::string Del(const std::string& uid) {
    zds::WorkloadRequest request;
    request.mutable_del()->set_uid(uid);
    Send(request);
    return Ack();
  }
  std::string SnapshotSent() {
    zds::WorkloadRequest request;
    request.mutable_snapshot_sent();
    Send(request);
    return Ack();
  }
  bool Ready() {
    std::promise<bool> ready;
    loop_.Post([&] { ready.set_value(pods_.Ready()); });
    return ready.get_future().get();
  }

  std::filesystem::path dir_;
  base::EventLoop loop_;
  FakeHost host_{loop_};
  telemetry::MetricsRegistry registry_;
  PodManager pods_{loop_, host_, registry_, "cluster.local", absl::Milliseconds(20)};
  std::unique_ptr<ZdsClient> client_;
  std::thread thread_;
  UniqueFd listener_, agent_;
};

TEST_F(ZdsSession, SnapshotThenReady) {
  EXPECT_FALSE(Ready());
  EXPECT_EQ(Add("a"), "");
  EXPECT_FALSE(Ready());
  EXPECT_EQ(SnapshotSent(), "");
  EXPECT_TRUE(Ready());
  EXPECT_EQ(host_.Take(), Log({"start a"}));
}

TEST_F(ZdsSession, TheSamePodAgainChangesNothing) {
  EXPECT_EQ(Add("a"), "");
  EXPECT_EQ(SnapshotSent(), "");
  EXPECT_EQ(Add("a"), "");
  EXPECT_EQ(host_.Take(), Log({"start a"}));
}

TEST_F(ZdsSession, AnotherNamespaceDrainsTheOldAndStartsTheNew) {
  EXPECT_EQ(Add("a"), "");
  EXPECT_EQ(Add("a", "/dev/zero"), "");
  EXPECT_EQ(host_.Take(), Log({"start a", "drain a", "start a"}));
}

TEST_F(ZdsSession, DelAbortsAndUnknownIsFine) {
  EXPECT_EQ(Add("a"), "");
  EXPECT_EQ(SnapshotSent(), "");
  EXPECT_EQ(Del("a"), "");
  EXPECT_EQ(Del("nobody"), "");
  EXPECT_EQ(host_.Take(), Log({"start a", "abort a"}));
}

TEST_F(ZdsSession, ReconnectReconcilesWithTheNewSnapshot) {
  EXPECT_EQ(Add("a"), "");
  EXPECT_EQ(Add("b"), "");
  EXPECT_EQ(Add("c"), "");
  EXPECT_EQ(SnapshotSent(), "");
  agent_.Reset();
  Accept();
  EXPECT_FALSE(Ready());
  EXPECT_EQ(Add("a"), "");
  EXPECT_EQ(Keep("c"), "");
  EXPECT_EQ(SnapshotSent(), "");
  EXPECT_TRUE(Ready());
  EXPECT_EQ(host_.Take(), Log({"start a", "start b", "start c", "abort b"}));
}

TEST_F(ZdsSession, WhatIsNotKnownCannotBeKept) {
  EXPECT_NE(Keep("never-seen"), "");
  EXPECT_EQ(Add("a"), "");
  EXPECT_EQ(SnapshotSent(), "");
  EXPECT_TRUE(Ready());
}

TEST_F(ZdsSession, APodThatCannotStartIsRetriedAlone) {
  host_.Fail("bad");
  EXPECT_EQ(Add("bad"), "port taken");
  EXPECT_EQ(Add("good"), "");
  EXPECT_EQ(SnapshotSent(), "");
  EXPECT_FALSE(Ready());
  host_.Fail("");
  for (int i = 0; i < 100 && !Ready(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(Ready());
  EXPECT_EQ(Del("bad"), "");
}

TEST_F(ZdsSession, APodWithoutInformationIsRefusedAndTheNextServed) {
  zds::WorkloadRequest request;
  request.mutable_add()->set_uid("x");
  const UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  Send(request, fd.get());
  EXPECT_EQ(Ack(), "add of x without workload_info");
  EXPECT_EQ(Add("a"), "");
}

TEST_F(ZdsSession, KeepAfterTheSnapshotAndASecondSnapshotAreErrors) {
  EXPECT_EQ(SnapshotSent(), "");
  EXPECT_NE(Keep("a"), "");
  EXPECT_NE(SnapshotSent(), "");
  EXPECT_EQ(Add("a"), "");
}

TEST_F(ZdsSession, WhatCannotBeDecodedEndsTheSessionAndANewOneBegins) {
  ASSERT_EQ(::send(agent_.get(), "\xff\xff", 2, 0), 2);
  EXPECT_NE(Ack(), "");
  EXPECT_EQ(Receive(), "");
  Accept();
  EXPECT_EQ(SnapshotSent(), "");
}

TEST_F(ZdsSession, AnAddWithoutNamespaceEndsTheSession) {
  zds::WorkloadRequest request;
  request.mutable_add()->set_uid("x");
  Send(request);
  EXPECT_NE(Ack(), "");
  EXPECT_EQ(Receive(), "");
}

TEST_F(ZdsSession, ADrainingProxyTakesNoMorePodsAndHearsOfThoseThatGo) {
  EXPECT_EQ(Add("a"), "");
  EXPECT_EQ(SnapshotSent(), "");
  std::promise<void> stopped;
  loop_.Post([&] {
    client_->TakeNoMore();
    pods_.Drain();
    stopped.set_value();
  });
  stopped.get_future().get();
  EXPECT_NE(Add("b"), "");
  EXPECT_EQ(Del("a"), "");
  EXPECT_EQ(host_.Take(), Log({"start a", "abort a"}));
}

}  // namespace
}  // namespace mesh::pods
