#include "ztunnel/pods/zds_client.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::pods {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(10);
constexpr absl::Duration kMaxBackoff = absl::Seconds(15);

const std::shared_ptr<spdlog::logger>& Log() {
  static const auto log = Logger("zds");
  return log;
}

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace

ZdsClient::ZdsClient(base::EventLoop& loop, std::string socket_path, PodManager& pods)
    : loop_(loop), path_(std::move(socket_path)), pods_(pods), backoff_(kFirstBackoff) {}

ZdsClient::~ZdsClient() {
  if (retry_ != 0) loop_.CancelTimer(retry_);
  if (fd_) loop_.Remove(fd_.get(), *this);
}

void ZdsClient::Start() { Connect(); }

void ZdsClient::TakeNoMore() {
  taking_ = false;
  if (retry_ != 0) loop_.CancelTimer(std::exchange(retry_, 0));
}

void ZdsClient::Connect() {
  const absl::Status status = TryConnect();
  if (status.ok()) {
    Log()->info("connected to the node agent path={}", path_);
    reported_ = false;
    return;
  }
  if (!reported_)
    Log()->warn("node agent not reachable, retrying err={}", Quoted(MessageOf(status)));
  reported_ = true;
  retry_ = loop_.After(backoff_, [this] {
    retry_ = 0;
    Connect();
  });
  backoff_ = std::min(2 * backoff_, kMaxBackoff);
}

absl::Status ZdsClient::TryConnect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) return Invalid("socket path {} is too long", path_);
  std::memcpy(address.sun_path, path_.data(), path_.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Errno(errno, "socket");
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return Errno(errno, "connect to {}", path_);
  }
  const std::string hello = EncodeHello();
  if (::send(fd.get(), hello.data(), hello.size(), MSG_NOSIGNAL) < 0) {
    return Errno(errno, "say hello to {}", path_);
  }
  RETURN_IF_ERROR(loop_.Add(fd.get(), EPOLLIN | EPOLLRDHUP | EPOLLET, *this));
  fd_ = std::move(fd);
  ++session_;
  handling_ = false;
  pods_.BeginSnapshot();
  return absl::OkStatus();
}

void ZdsClient::OnEvents(uint32_t) { ReadRequests(); }

void ZdsClient::ReadRequests() {
  while (fd_ && !handling_) {
    auto packet = ReceivePacket(fd_.get());
    if (absl::IsUnavailable(packet.status())) return;
    if (!packet.ok()) {
      if (absl::IsInvalidArgument(packet.status())) Acknowledge(session_, packet.status());
      EndSession(packet.status());
      return;
    }
    backoff_ = kFirstBackoff;
    Handle(*std::move(packet));
  }
}

void ZdsClient::Handle(Packet packet) {
  auto request = DecodeRequest(packet.bytes, std::move(packet.fds));
  if (!request.ok()) {
    // The two ends no longer agree on what is said: start over.
    Acknowledge(session_, request.status());
    EndSession(request.status());
    return;
  }
  handling_ = true;
  if (!taking_ && !std::holds_alternative<DelRequest>(*request)) {
    return Acknowledge(session_, FailedPrecondition("this proxy is ending"));
  }
  // `done` may run within the call or turns later, when this session is long gone.
  auto done = [this, session = session_, alive = std::weak_ptr<int>(alive_)](absl::Status status) {
    if (alive.expired()) return;
    Acknowledge(session, status);
  };
  std::visit(Overloaded{
                 [&](AddRequest& add) { pods_.Add(std::move(add), std::move(done)); },
                 [&](KeepRequest& keep) { pods_.Keep(keep.uid, std::move(done)); },
                 [&](DelRequest& del) { pods_.Del(del.uid, std::move(done)); },
                 [&](SnapshotSentRequest&) { pods_.SnapshotSent(std::move(done)); },
             },
             *request);
}

void ZdsClient::Acknowledge(uint64_t session, const absl::Status& status) {
  if (!fd_ || session != session_) return;
  const bool resumes = std::exchange(handling_, false);
  const std::string ack = EncodeAck(status.ok() ? "" : MessageOf(status));
  if (::send(fd_.get(), ack.data(), ack.size(), MSG_NOSIGNAL) < 0) {
    EndSession(Errno(errno, "acknowledge"));
    return;
  }
  // From the loop, not from here: the call may come from within ReadRequests.
  if (resumes) {
    loop_.Post([this, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) ReadRequests();
    });
  }
}

void ZdsClient::EndSession(const absl::Status& why) {
  if (!fd_) return;
  Log()->warn("connection to the node agent ended err={}", Quoted(MessageOf(why)));
  loop_.Remove(fd_.get(), *this);
  fd_.Reset();
  ++session_;
  handling_ = false;
  pods_.SessionEnded();
  if (!taking_) return;
  retry_ = loop_.After(backoff_, [this] {
    retry_ = 0;
    Connect();
  });
  backoff_ = std::min(2 * backoff_, kMaxBackoff);
}

}  // namespace mesh::pods
