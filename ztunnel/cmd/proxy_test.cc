// The whole proxy in a network namespace of the test's own, with a node agent played by the test.
#include "ztunnel/cmd/proxy.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "proto/zds.pb.h"
#include "ztunnel/base/log.h"

namespace mesh::cmd {
namespace {

using ::testing::HasSubstr;
constexpr size_t npos = std::string::npos;
namespace zds = istio::workload::zds;

void LoopbackUp() {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ASSERT_EQ(::ioctl(fd.get(), SIOCSIFFLAGS, &request), 0);
}

// A new network namespace; this thread goes on where it was.
Netns NewNetns() {
  const Netns here = *Netns::Current();
  EXPECT_EQ(::unshare(CLONE_NEWNET), 0);
  LoopbackUp();
  Netns made = *Netns::Current();
  EXPECT_EQ(::setns(here.fd(), CLONE_NEWNET), 0);
  return made;
}

UniqueFd Connect(uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.Reset();
  return fd;
}

std::string Http(const std::string& method, uint16_t port, const std::string& path) {
  const UniqueFd fd = Connect(port);
  if (!fd) return "";
  const std::string request =
      method + " " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
  ::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
  std::string out;
  char buffer[4096];
  for (ssize_t n; (n = ::recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;)
    out.append(buffer, static_cast<size_t>(n));
  return out;
}

constexpr char kLocalState[] =
    "workloads: [{name: web-0, namespace: shop, serviceAccount: web, workloadIps: [10.0.0.1]}]";

class WholeProxy : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
    SetLogLevels("off");
    home_.emplace(*Netns::Current());
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);  // the node's, with the proxy's own ports
    LoopbackUp();
    dir_ = std::filesystem::temp_directory_path() / ("proxy-test-" + std::to_string(::getpid()));
    std::filesystem::create_directory(dir_);
    const std::string path = dir_ / "zds.sock";
    listener_.Reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::listen(listener_.get(), 1), 0);
    const Environment environment = {{"XDS_ADDRESS", ""},
                                     {"INPOD_UDS", path},
                                     {"FAKE_CA", "true"},
                                     {"LOCAL_XDS", kLocalState},
                                     {"ZTUNNEL_WORKER_THREADS", "2"},
                                     {"CONNECTION_TERMINATION_DEADLINE", "1s"}};
    proxy_ = std::make_unique<Proxy>(*Settings::FromEnvironment(environment, 2), environment,
                                     registry_, log_);
    thread_ = std::thread([this] { result_ = proxy_->Run(); });
    agent_.Reset(::accept(listener_.get(), nullptr, nullptr));
    EXPECT_EQ(Receive(), "\x08\x01");
  }
  void TearDown() override {
    if (!home_) return;
    if (thread_.joinable()) thread_.join();
    proxy_.reset();
    std::filesystem::remove_all(dir_);
    ::setns(home_->fd(), CLONE_NEWNET);
  }

  std::string Receive() {
    char buffer[1024];
    const ssize_t n = ::recv(agent_.get(), buffer, sizeof(buffer), 0);
    return n <= 0 ? "" : std::string(buffer, static_cast<size_t>(n));
  }
  // What the proxy acknowledges: "" for success.
  std::string Send(const zds::WorkloadRequest& request, int fd = -1) {
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
    ::sendmsg(agent_.get(), &msg, 0);
    zds::WorkloadResponse response;
    return response.ParseFromString(Receive()) ? response.ack().error() : "no ack";
  }

  std::optional<Netns> home_;
  std::filesystem::path dir_;
  UniqueFd listener_, agent_;
  telemetry::MetricsRegistry registry_;
  telemetry::AccessLog log_{registry_};
  std::unique_ptr<Proxy> proxy_;
  std::thread thread_;
  absl::Status result_;
};

bool Listens(const Netns& pod, uint16_t port) {
  const Netns here = *Netns::Current();
  ::setns(pod.fd(), CLONE_NEWNET);
  const bool listens = static_cast<bool>(Connect(port));
  ::setns(here.fd(), CLONE_NEWNET);
  return listens;
}

TEST_F(WholeProxy, ServesAPodFromEnrolmentToDrain) {
  EXPECT_THAT(Http("GET", 15021, "/healthz/ready"), HasSubstr("pending: workload proxy manager"));
  const Netns pod = NewNetns();
  zds::WorkloadRequest add;
  add.mutable_add()->set_uid("uid-1");
  add.mutable_add()->mutable_workload_info()->set_name("web-0");
  add.mutable_add()->mutable_workload_info()->set_namespace_("shop");
  add.mutable_add()->mutable_workload_info()->set_service_account("web");
  ASSERT_EQ(Send(add, pod.fd()), "");
  zds::WorkloadRequest sent;
  sent.mutable_snapshot_sent();
  ASSERT_EQ(Send(sent), "");
  // Acknowledged means served, and only in the pod's namespace.
  for (const uint16_t port : {15001, 15006, 15008, 15053}) {
    EXPECT_TRUE(Listens(pod, port)) << port;
    EXPECT_FALSE(static_cast<bool>(Connect(port))) << port;
  }
  EXPECT_THAT(Http("GET", 15021, "/healthz/ready"), HasSubstr("ready\n"));
  EXPECT_THAT(Http("GET", 15000, "/config_dump"), HasSubstr("\"uid-1\":{\"state\":\"Up\""));
  EXPECT_THAT(Http("GET", 15000, "/config_dump"),
              HasSubstr("spiffe://cluster.local/ns/shop/sa/web"));
  EXPECT_THAT(Http("GET", 15000, "/config_dump"), HasSubstr("Kubernetes//Pod/shop/web-0"));
  for (int i = 0; i < 200 && Http("GET", 15000, "/config_dump").find("Available") == npos; ++i)
    ::usleep(5000);
  EXPECT_THAT(Http("GET", 15000, "/config_dump"), HasSubstr("Available"));
  EXPECT_THAT(Http("GET", 15020, "/metrics"), HasSubstr("workload_manager_active_proxy_count 1\n"));

  zds::WorkloadRequest del;
  del.mutable_del()->set_uid("uid-1");
  ASSERT_EQ(Send(del), "");
  for (int i = 0; i < 200 && Listens(pod, 15001); ++i) ::usleep(5000);
  for (const uint16_t port : {15001, 15006, 15008}) EXPECT_FALSE(Listens(pod, port)) << port;

  EXPECT_THAT(Http("POST", 15000, "/quitquitquit"), HasSubstr("shutdown now"));
  thread_.join();
  EXPECT_TRUE(result_.ok()) << result_;
}

TEST(ProxyAtStart, EndsOnWhatItCannotHonour) {
  SetLogLevels("off");
  const std::pair<Environment, const char*> cases[] = {
      {{{"CRL_PATH", "/does/not/exist"}}, "CRL_PATH: open /does/not/exist"},
      {{{"CRL_PATH", "/dev/null"}}, "CRL_PATH: /dev/null: no revocation list"},
      {{{"LOCAL_XDS", "workloads: [{colour: red}]"}}, "LOCAL_XDS: workloads[0]"},
      {{{"LOCAL_XDS_PATH", "/does/not/exist"}}, "LOCAL_XDS_PATH: open /does/not/exist"},
  };
  for (const auto& [environment, error] : cases) {
    telemetry::MetricsRegistry registry;
    telemetry::AccessLog log(registry);
    Proxy proxy(*Settings::FromEnvironment(environment, 1), environment, registry, log);
    EXPECT_THAT(proxy.Run().ToString(), HasSubstr(error));
  }
}

}  // namespace
}  // namespace mesh::cmd
