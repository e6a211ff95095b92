#include "agent/node/zds/server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <future>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "agent/node/zds/connection.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::node::zds {
namespace {

constexpr size_t kMaxConnections = 8;
constexpr absl::Duration kAcceptEvery = absl::Milliseconds(200);
constexpr absl::Duration kHelloDeadline = absl::Seconds(5);

struct Peer {
  Connection connection;
  absl::Time since;
  bool greeted = false;
  std::set<std::string> given = {};  // uids, until they are taken from all
};

// The mode is set before the file is there, so that nobody else is ever let in.
absl::Status KeepToOwner(int fd, const std::string& path) {
  return ::fchmod(fd, 0600) == 0 ? absl::OkStatus() : Errno(errno, "mode of {}", path);
}

// Whoever handed the file on, or opened its mode, lets nobody else take pods.
absl::Status CheckPeer(int fd) {
  ucred peer = {};
  socklen_t length = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return Errno(errno, "credentials of a ztunnel");
  }
  if (peer.uid == 0 || peer.uid == ::geteuid()) return absl::OkStatus();
  return PermissionDenied("process {} of user {}", peer.pid, peer.uid);
}

absl::StatusOr<UniqueFd> ListenOn(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return Invalid("socket path {} is too long", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Errno(errno, "socket for {}", path);
  RETURN_IF_ERROR(KeepToOwner(fd.get(), path));
  ::unlink(path.c_str());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Errno(errno, "bind {}", path);
  }
  if (::listen(fd.get(), static_cast<int>(kMaxConnections)) != 0)
    return Errno(errno, "listen on {}", path);
  return fd;
}

}  // namespace

struct Server::Impl {
  std::string path;
  Observer observer;
  UniqueFd listener;  // the server's thread
  UniqueFd wake;
  std::thread thread;
  std::atomic<int> greeted{0};
  std::mutex mutex;  // below: pods, jobs, stop
  std::map<std::string, HeldPod> pods;
  std::deque<std::packaged_task<absl::Status()>> jobs;  // at most one: the caller waits
  bool stop = false;
  std::list<Peer> peers;  // the server's thread; newest last
  absl::Time next_accept;

  void Wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake.get(), &one, sizeof(one));
  }
  absl::Status RunJob(std::function<absl::Status()> fn) {
    std::packaged_task<absl::Status()> job(std::move(fn));
    std::future<absl::Status> result = job.get_future();
    {
      std::lock_guard lock(mutex);
      jobs.push_back(std::move(job));
    }
    Wake();
    return result.get();
  }

  void Loop();
  void Accept();
  void OnReadable(Peer& peer);
  void SendSnapshot(Peer& peer);
  void DropDead();
  Peer* Newest();
  absl::Status Tell(Peer& peer, const HeldPod& pod);
  absl::Status AddNow(const HeldPod& pod);
  absl::Status RenewNow(const HeldPod& pod);
  absl::Status TakeBackNow(const std::string& uid);
  absl::Status RemoveNow(const std::string& uid);
};

Peer* Server::Impl::Newest() {
  const auto newest = std::find_if(peers.rbegin(), peers.rend(), [](const Peer& peer) {
    return peer.greeted && peer.connection.alive();
  });
  return newest == peers.rend() ? nullptr : &*newest;
}

absl::Status Server::Impl::Tell(Peer& peer, const HeldPod& pod) {
  peer.given.insert(pod.info.uid);
  if (pod.netns == nullptr) {
    ASSIGN_OR_RETURN(const std::string packet, Keep(pod.info.uid));
    return peer.connection.Ask(packet);
  }
  ASSIGN_OR_RETURN(const std::string packet, zds::Add(pod.info));
  return peer.connection.Ask(packet, pod.netns->fd());
}

absl::Status Server::Impl::AddNow(const HeldPod& pod) {
  Peer* newest = Newest();
  if (newest == nullptr) return Unavailable("no ztunnel is connected");
  const absl::Status status = Tell(*newest, pod);
  return absl::IsDeadlineExceeded(status) ? Unavailable("{}", MessageOf(status)) : status;
}

absl::Status Server::Impl::RenewNow(const HeldPod& pod) {
  Peer* newest = Newest();
  if (newest == nullptr) return Unavailable("no ztunnel is connected");
  ASSIGN_OR_RETURN(const std::string packet, Del(pod.info.uid));
  if (const absl::Status status = newest->connection.Ask(packet); !newest->connection.alive())
    return status;
  return AddNow(pod);
}

absl::Status Server::Impl::TakeBackNow(const std::string& uid) {
  absl::Status first;
  ASSIGN_OR_RETURN(const std::string packet, Del(uid));
  for (Peer& peer : peers) {
    if (peer.given.erase(uid) == 0 || !peer.connection.alive()) continue;
    if (const absl::Status status = peer.connection.Ask(packet); !status.ok() && first.ok())
      first = status;
  }
  return first;
}

absl::Status Server::Impl::RemoveNow(const std::string& uid) {
  absl::Status first;
  ASSIGN_OR_RETURN(const std::string packet, Del(uid));
  for (Peer& peer : peers) {
    peer.given.erase(uid);
    if (!peer.greeted || !peer.connection.alive()) continue;
    if (const absl::Status status = peer.connection.Ask(packet); !status.ok() && first.ok())
      first = status;
  }
  return first;
}

void Server::Impl::SendSnapshot(Peer& peer) {
  std::vector<HeldPod> snapshot;
  {
    std::lock_guard lock(mutex);
    for (const auto& [uid, pod] : pods) snapshot.push_back(pod);
  }
  for (const HeldPod& pod : snapshot) {
    const absl::Status status = Tell(peer, pod);
    if (!status.ok()) {
      Logger("zds")->warn("snapshot pod={}/{}: {}", pod.info.ns, pod.info.name, Describe(status));
    }
    observer.on_snapshot_ack(pod.info.uid, status);
    if (!peer.connection.alive()) return;
  }
  const absl::Status status = peer.connection.Ask(zds::SnapshotSent());
  if (!status.ok()) Logger("zds")->warn("end of snapshot: {}", Describe(status));
  if (!peer.connection.alive()) return;
  peer.greeted = true;
  ++greeted;
  Logger("zds")->info("ztunnel connected pods={} connected={}", snapshot.size(), greeted.load());
  observer.on_connections(greeted);
}

void Server::Impl::Accept() {
  UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) return;
  next_accept = absl::Now() + kAcceptEvery;
  if (const absl::Status peer = CheckPeer(fd.get()); !peer.ok()) {
    Logger("zds")->warn("refused: {}", Describe(peer));
    return;
  }
  if (peers.size() >= kMaxConnections) {
    Logger("zds")->warn("a ztunnel was refused: {} are connected", peers.size());
    return;
  }
  peers.push_back({.connection = Connection(std::move(fd)), .since = absl::Now()});
}

void Server::Impl::OnReadable(Peer& peer) {
  if (peer.greeted) return peer.connection.OnUnasked();
  if (const absl::Status hello = peer.connection.ReadHello(); !hello.ok()) {
    Logger("zds")->warn("refused: {}", Describe(hello));
    return;
  }
  SendSnapshot(peer);
}

void Server::Impl::DropDead() {
  const absl::Time now = absl::Now();
  for (auto it = peers.begin(); it != peers.end();) {
    const bool silent = !it->greeted && now - it->since > kHelloDeadline;
    if (it->connection.alive() && !silent) {
      ++it;
      continue;
    }
    const bool was_greeted = it->greeted;
    it = peers.erase(it);
    if (!was_greeted) continue;
    --greeted;
    Logger("zds")->info("ztunnel disconnected connected={}", greeted.load());
    observer.on_connections(greeted);
  }
}

void Server::Impl::Loop() {
  for (;;) {
    std::vector<pollfd> fds = {{.fd = wake.get(), .events = POLLIN, .revents = 0}};
    const bool accepting = absl::Now() >= next_accept;
    fds.push_back({.fd = accepting ? listener.get() : -1, .events = POLLIN, .revents = 0});
    for (const Peer& peer : peers) {
      fds.push_back({.fd = peer.connection.fd(), .events = POLLIN, .revents = 0});
    }
    const bool unsettled =
        std::ranges::any_of(peers, [](const Peer& peer) { return !peer.greeted; });
    ::poll(fds.data(), fds.size(), !accepting ? 50 : unsettled ? 500 : -1);
    uint64_t drained;
    [[maybe_unused]] const ssize_t n = ::read(wake.get(), &drained, sizeof(drained));
    size_t i = 2;
    for (Peer& peer : peers) {
      if (i < fds.size() && fds[i++].revents != 0) OnReadable(peer);
    }
    if ((fds[1].revents & POLLIN) != 0) Accept();
    for (;;) {
      std::packaged_task<absl::Status()> job;
      {
        std::lock_guard lock(mutex);
        if (stop) return;
        if (jobs.empty()) break;
        job = std::move(jobs.front());
        jobs.pop_front();
      }
      job();
    }
    DropDead();
  }
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(const std::string& path, Observer observer) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->observer = std::move(observer);
  impl->wake.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->wake) return Errno(errno, "eventfd");
  Impl* self = impl.get();
  impl->thread = std::thread([self] { self->Loop(); });
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

absl::Status Server::Listen() {
  return impl_->RunJob([impl = impl_.get()]() -> absl::Status {
    ASSIGN_OR_RETURN(impl->listener, ListenOn(impl->path));
    return absl::OkStatus();
  });
}

Server::~Server() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->Wake();
  impl_->thread.join();
  if (impl_->listener) ::unlink(impl_->path.c_str());
}

void Server::Hold(HeldPod pod) {
  std::lock_guard lock(impl_->mutex);
  impl_->pods[pod.info.uid] = std::move(pod);
}

absl::Status Server::Add(HeldPod pod) {
  Hold(pod);
  return impl_->RunJob([this, pod = std::move(pod)] { return impl_->AddNow(pod); });
}

absl::Status Server::Renew(HeldPod pod) {
  Hold(pod);
  return impl_->RunJob([this, pod = std::move(pod)] { return impl_->RenewNow(pod); });
}

void Server::LetGo(const std::string& uid) {
  std::lock_guard lock(impl_->mutex);
  impl_->pods.erase(uid);
}

absl::Status Server::TakeBack(const std::string& uid) {
  LetGo(uid);
  return impl_->RunJob([this, uid] { return impl_->TakeBackNow(uid); });
}

absl::Status Server::Remove(const std::string& uid) {
  LetGo(uid);
  return impl_->RunJob([this, uid] { return impl_->RemoveNow(uid); });
}

int Server::connected() const { return impl_->greeted; }

}  // namespace mesh::node::zds
