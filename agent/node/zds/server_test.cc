#include "agent/node/zds/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <future>
#include <thread>

#include "proto/zds.pb.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::node::zds {
namespace {

using istio::workload::zds::Version;
using istio::workload::zds::WorkloadRequest;
using istio::workload::zds::WorkloadResponse;
using istio::workload::zds::ZdsHello;

// A ztunnel as the agent sees it.
class FakeZtunnel {
 public:
  explicit FakeZtunnel(const std::string& path) {
    fd_.Reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval limit = {.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  void Hello(Version version = Version::V1) {
    ZdsHello hello;
    hello.set_version(version);
    Send(hello.SerializeAsString());
  }
  void Send(const std::string& packet) {
    ::send(fd_.get(), packet.data(), packet.size(), MSG_NOSIGNAL);
  }
  void Ack(const std::string& error = "") {
    WorkloadResponse response;
    response.mutable_ack()->set_error(error);
    Send(response.SerializeAsString());
  }
  // False when the agent closed. `fds` counts the descriptors that came along.
  bool Read(WorkloadRequest& request, int& fds) {
    char buffer[kMaxPacketBytes];
    alignas(cmsghdr) char control[256];
    iovec data = {.iov_base = buffer, .iov_len = sizeof(buffer)};
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t n = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    if (n <= 0) return false;
    fds = 0;
    for (cmsghdr* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
      for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i, ++fds) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
        ::close(fd);
      }
    }
    return request.ParseFromArray(buffer, static_cast<int>(n));
  }
  // Reads one request, which must be of this kind, and acknowledges it.
  std::string Expect(WorkloadRequest::PayloadCase kind, int fds, const std::string& error = "") {
    WorkloadRequest request;
    int got = 0;
    EXPECT_TRUE(Read(request, got));
    EXPECT_EQ(request.payload_case(), kind) << request.DebugString();
    EXPECT_EQ(got, fds);
    Ack(error);
    return request.has_add()   ? request.add().uid()
           : request.has_del() ? request.del().uid()
                               : request.keep().uid();
  }

 private:
  UniqueFd fd_;
};

class ZdsServer : public testing::Test {
 protected:
  void SetUp() override {
    char dir[] = "/tmp/mesh-zds-XXXXXX";
    ASSERT_NE(::mkdtemp(dir), nullptr);
    dir_ = dir;
    Serve(absl::Seconds(5));
    auto netns = Netns::Current();
    ASSERT_TRUE(netns.ok());
    netns_ = std::make_shared<const Netns>(*std::move(netns));
  }
  void Serve(absl::Duration patience) {
    auto server = Server::Create(path(),
                                 {.on_snapshot_ack =
                                      [this](const std::string& uid, const absl::Status& status) {
                                        acks_.push_back(uid + (status.ok() ? " ok" : " failed"));
                                      },
                                  .on_connections = [](int) {}},
                                 patience);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    EXPECT_NE(::access(path().c_str(), F_OK), 0);
    ASSERT_TRUE(server_->Listen().ok());
  }
  void TearDown() override {
    server_.reset();
    ::rmdir(dir_.c_str());
  }
  std::string path() const { return dir_ + "/zds.sock"; }
  HeldPod Pod(const std::string& uid) const {
    return {.info = {.uid = uid, .name = "n-" + uid, .ns = "shop", .service_account = "sa"},
            .netns = netns_};
  }
  void WaitConnected(int n) const {
    for (int i = 0; i < 200 && server_->connected() != n; ++i) ::usleep(20'000);
    ASSERT_EQ(server_->connected(), n);
  }

  std::string dir_;
  std::vector<std::string> acks_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<const Netns> netns_;
};

TEST_F(ZdsServer, SnapshotHasAddAndKeepThenChangesFollow) {
  server_->Hold(Pod("a"));
  HeldPod without = Pod("b");
  without.netns = nullptr;
  server_->Hold(without);
  FakeZtunnel ztunnel(path());
  ztunnel.Hello();
  EXPECT_EQ(ztunnel.Expect(WorkloadRequest::kAdd, 1), "a");
  EXPECT_EQ(ztunnel.Expect(WorkloadRequest::kKeep, 0), "b");
  ztunnel.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(1);
  auto added = std::async(std::launch::async, [this] { return server_->Add(Pod("c")); });
  EXPECT_EQ(ztunnel.Expect(WorkloadRequest::kAdd, 1), "c");
  EXPECT_TRUE(added.get().ok());
  server_->Remove("c");
  EXPECT_EQ(ztunnel.Expect(WorkloadRequest::kDel, 0), "c");
  EXPECT_EQ(acks_, (std::vector<std::string>{"a ok", "b ok"}));
}

TEST_F(ZdsServer, WithoutAZtunnelAnAddFailsAndThePodWaitsForTheSnapshot) {
  EXPECT_TRUE(absl::IsUnavailable(server_->Add(Pod("a"))));
  FakeZtunnel ztunnel(path());
  ztunnel.Hello();
  EXPECT_EQ(ztunnel.Expect(WorkloadRequest::kAdd, 1), "a");
  ztunnel.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(1);
}

TEST_F(ZdsServer, ARefusalKeepsTheConnection) {
  FakeZtunnel ztunnel(path());
  ztunnel.Hello();
  ztunnel.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(1);
  auto added = std::async(std::launch::async, [this] { return server_->Add(Pod("a")); });
  ztunnel.Expect(WorkloadRequest::kAdd, 1, "no port 15001");
  const absl::Status status = added.get();
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_NE(status.ToString().find("no port 15001"), std::string::npos);
  added = std::async(std::launch::async, [this] { return server_->Add(Pod("b")); });
  ztunnel.Expect(WorkloadRequest::kAdd, 1);
  EXPECT_TRUE(added.get().ok());
}

TEST_F(ZdsServer, TheNewestGetsNewPodsAndAllHearDeletions) {
  FakeZtunnel old_one(path());
  old_one.Hello();
  old_one.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(1);
  FakeZtunnel new_one(path());
  new_one.Hello();
  new_one.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(2);
  auto added = std::async(std::launch::async, [this] { return server_->Add(Pod("a")); });
  EXPECT_EQ(new_one.Expect(WorkloadRequest::kAdd, 1), "a");
  EXPECT_TRUE(added.get().ok());
  server_->Remove("a");
  EXPECT_EQ(old_one.Expect(WorkloadRequest::kDel, 0), "a");
  EXPECT_EQ(new_one.Expect(WorkloadRequest::kDel, 0), "a");
}

TEST_F(ZdsServer, OneThatIsSilentDelaysNobodyAndIsDropped) {
  server_.reset();
  Serve(absl::Milliseconds(200));
  FakeZtunnel silent(path());
  silent.Hello();
  silent.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(1);
  FakeZtunnel new_one(path());
  new_one.Hello();
  new_one.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(2);
  for (int i = 0; i < 10; ++i) server_->Remove("pod-" + std::to_string(i));
  for (int i = 0; i < 10; ++i) new_one.Expect(WorkloadRequest::kDel, 0);
  auto added = std::async(std::launch::async, [this] { return server_->Add(Pod("a")); });
  new_one.Expect(WorkloadRequest::kAdd, 1);
  EXPECT_TRUE(added.get().ok());
  WaitConnected(1);
  WorkloadRequest request;
  int fds = 0;
  EXPECT_TRUE(silent.Read(request, fds));  // the first, unanswered
  EXPECT_FALSE(silent.Read(request, fds));
  // Who waits for the newest does so once.
  EXPECT_TRUE(absl::IsUnavailable(server_->Add(Pod("b"))));
  WaitConnected(0);
  EXPECT_TRUE(absl::IsUnavailable(server_->Add(Pod("c"))));
}

TEST_F(ZdsServer, ASnapshotThatStallsDelaysNobody) {
  server_->Hold(Pod("a"));
  FakeZtunnel stalled(path());
  stalled.Hello();
  WorkloadRequest request;
  int fds = 0;
  ASSERT_TRUE(stalled.Read(request, fds));  // and no answer
  server_->Remove("a");
  server_->Hold(Pod("b"));
  stalled.Ack();
  // What changed meanwhile comes after.
  stalled.Expect(WorkloadRequest::kSnapshotSent, 0);
  EXPECT_EQ(stalled.Expect(WorkloadRequest::kDel, 0), "a");
  WaitConnected(1);
}

// An older ztunnel may serve connections of a pod that it was given by an agent before.
TEST_F(ZdsServer, WhatIsTakenBackOrRenewedIsNoneOfTheOlderOnes) {
  FakeZtunnel old_one(path());
  old_one.Hello();
  old_one.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(1);
  FakeZtunnel new_one(path());
  new_one.Hello();
  new_one.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(2);
  auto job = std::async(std::launch::async, [this] { return server_->Add(Pod("a")); });
  new_one.Expect(WorkloadRequest::kAdd, 1);
  EXPECT_TRUE(job.get().ok());
  server_->Renew(Pod("a"));
  EXPECT_EQ(new_one.Expect(WorkloadRequest::kDel, 0), "a");
  EXPECT_EQ(new_one.Expect(WorkloadRequest::kAdd, 1), "a");
  server_->TakeBack("a");
  EXPECT_EQ(new_one.Expect(WorkloadRequest::kDel, 0), "a");
  server_->TakeBack("a");  // nobody has it
  // What the old one hears first is the end of a pod for all.
  server_->Remove("b");
  EXPECT_EQ(old_one.Expect(WorkloadRequest::kDel, 0), "b");
  new_one.Expect(WorkloadRequest::kDel, 0);
}

TEST_F(ZdsServer, IsItsOwnersAlone) {
  struct stat info = {};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  if (::getuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
  // A stranger who got past the file's mode.
  ASSERT_EQ(::chmod(path().c_str(), 0666), 0);
  ASSERT_EQ(::chmod(dir_.c_str(), 0755), 0);
  const pid_t stranger = ::fork();
  if (stranger == 0) {
    constexpr uid_t kNobody = 65534;
    if (::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(2);
    FakeZtunnel ztunnel(path());
    ztunnel.Hello();
    WorkloadRequest request;
    int fds = 0;
    ::_exit(ztunnel.Read(request, fds) ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(stranger, &status, 0), stranger);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: it was given the pods";
  EXPECT_EQ(server_->connected(), 0);
}

TEST_F(ZdsServer, ClosesOnABadHelloAndOnUnaskedSpeech) {
  WorkloadRequest request;
  int fds;
  FakeZtunnel wrong(path());
  wrong.Hello(Version::NOT_USED);
  EXPECT_FALSE(wrong.Read(request, fds));
  FakeZtunnel rubbish(path());
  rubbish.Send(std::string("\xff\xff\xff", 3));
  EXPECT_FALSE(rubbish.Read(request, fds));
  FakeZtunnel talkative(path());
  talkative.Hello();
  talkative.Expect(WorkloadRequest::kSnapshotSent, 0);
  WaitConnected(1);
  talkative.Ack();
  EXPECT_FALSE(talkative.Read(request, fds));
  WaitConnected(0);
}

TEST(ZdsCodec, APodWithNamesBeyondThePacketIsRefused) {
  EXPECT_FALSE(
      Add({.uid = "u", .name = std::string(2000, 'x'), .ns = "n", .service_account = "s"}).ok());
}

}  // namespace
}  // namespace mesh::node::zds
