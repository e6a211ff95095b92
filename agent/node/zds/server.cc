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
#include <functional>
#include <future>
#include <list>
#include <map>
#include <mutex>
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
  Peer(UniqueFd fd, absl::Duration patience, absl::Time at)
      : connection(std::move(fd), patience), since(at) {}
  Connection connection;
  const absl::Time since;
  bool hello = false;                // its snapshot is on the way
  bool greeted = false;              // it has its snapshot
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

std::function<void(const absl::Status&)> LogRefusal(const HeldPod& pod) {
  return [name = pod.info.ns + "/" + pod.info.name](const absl::Status& status) {
    if (!status.ok())
      Logger("zds")->warn("not taken by ztunnel pod={}: {}", name, Describe(status));
  };
}

}  // namespace

struct Server::Impl {
  std::string path;
  Observer observer;
  absl::Duration patience;
  UniqueFd listener;  // the server's thread
  UniqueFd wake;
  std::thread thread;
  std::atomic<int> greeted{0};
  std::mutex mutex;  // below: pods, jobs, stop
  std::map<std::string, HeldPod> pods;
  std::deque<std::function<void()>> jobs;  // some for each pod that comes or goes
  bool stop = false;
  std::list<Peer> peers;  // the server's thread; newest last; before what their requests refer to
  absl::Time next_accept;

  void Wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake.get(), &one, sizeof(one));
  }
  void Post(std::function<void()> fn) {
    {
      std::lock_guard lock(mutex);
      jobs.push_back(std::move(fn));
    }
    Wake();
  }
  using Done = std::function<void(const absl::Status&)>;
  // Runs `fn` on the server's thread and waits until the status is known.
  absl::Status Await(std::function<void(Done)> fn) {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    std::future<absl::Status> result = promise->get_future();
    Post([fn = std::move(fn), promise] {
      fn([promise](const absl::Status& status) { promise->set_value(status); });
    });
    return result.get();
  }

  void Loop();
  void Accept();
  void OnReadable(Peer& peer);
  void SendSnapshot(Peer& peer);
  void OnSnapshotSent(Peer& peer, size_t pods_sent, const absl::Status& status);
  void DropDead();
  absl::Time Tick(absl::Time now);
  bool RunJobs();
  Peer* Newest();
  void Tell(Peer& peer, const HeldPod& pod, Done done, absl::Time until);
  void TellEnd(Peer& peer, const std::string& uid);
  void AddNow(const HeldPod& pod, Done done);
  void RenewNow(const HeldPod& pod);
  void TakeBackNow(const std::string& uid);
  void RemoveNow(const std::string& uid);
};

Peer* Server::Impl::Newest() {
  const auto newest = std::find_if(peers.rbegin(), peers.rend(), [](const Peer& peer) {
    return peer.hello && peer.connection.alive();
  });
  return newest == peers.rend() ? nullptr : &*newest;
}

void Server::Impl::Tell(Peer& peer, const HeldPod& pod, Done done, absl::Time until) {
  const absl::StatusOr<std::string> packet =
      pod.netns == nullptr ? Keep(pod.info.uid) : zds::Add(pod.info);
  if (!packet.ok()) return done(packet.status());
  peer.given.insert(pod.info.uid);
  peer.connection.Ask(
      {.packet = *packet, .netns = pod.netns, .done = std::move(done), .patience = until});
}

void Server::Impl::TellEnd(Peer& peer, const std::string& uid) {
  const absl::StatusOr<std::string> packet = Del(uid);
  if (!packet.ok() || !peer.hello || !peer.connection.alive()) return;
  peer.connection.Ask({.packet = *packet, .done = [uid](const absl::Status& status) {
                         if (absl::IsAborted(status)) {
                           Logger("zds")->warn("end of {}: {}", uid, Describe(status));
                         }
                       }});
}

void Server::Impl::AddNow(const HeldPod& pod, Done done) {
  Peer* newest = Newest();
  if (newest == nullptr) return done(Unavailable("no ztunnel is connected"));
  Tell(*newest, pod, std::move(done), absl::Now() + patience);
}

void Server::Impl::RenewNow(const HeldPod& pod) {
  if (Peer* newest = Newest()) {
    TellEnd(*newest, pod.info.uid);
    Tell(*newest, pod, LogRefusal(pod), absl::InfiniteFuture());
  }
}

void Server::Impl::TakeBackNow(const std::string& uid) {
  for (Peer& peer : peers) {
    if (peer.given.erase(uid) != 0) TellEnd(peer, uid);
  }
}

void Server::Impl::RemoveNow(const std::string& uid) {
  for (Peer& peer : peers) {
    peer.given.erase(uid);
    TellEnd(peer, uid);
  }
}

void Server::Impl::SendSnapshot(Peer& peer) {
  std::vector<HeldPod> snapshot;
  {
    std::lock_guard lock(mutex);
    for (const auto& [uid, pod] : pods) snapshot.push_back(pod);
  }
  peer.hello = true;
  for (const HeldPod& pod : snapshot) {
    Tell(
        peer, pod,
        [this, log = LogRefusal(pod), uid = pod.info.uid](const absl::Status& status) {
          log(status);
          observer.on_snapshot_ack(uid, status);
        },
        absl::InfiniteFuture());
  }
  peer.connection.Ask({.packet = zds::SnapshotSent(),
                       .done = [this, &peer, n = snapshot.size()](const absl::Status& status) {
                         OnSnapshotSent(peer, n, status);
                       }});
}

void Server::Impl::OnSnapshotSent(Peer& peer, size_t pods_sent, const absl::Status& status) {
  if (!status.ok()) Logger("zds")->warn("end of snapshot: {}", Describe(status));
  if (!peer.connection.alive()) return;
  peer.greeted = true;
  ++greeted;
  Logger("zds")->info("ztunnel connected pods={} connected={}", pods_sent, greeted.load());
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
  peers.emplace_back(std::move(fd), patience, absl::Now());
}

void Server::Impl::OnReadable(Peer& peer) {
  if (peer.hello) return peer.connection.OnReady();
  if (const absl::Status hello = peer.connection.ReadHello(); !hello.ok()) {
    Logger("zds")->warn("refused: {}", Describe(hello));
    return;
  }
  SendSnapshot(peer);
}

void Server::Impl::DropDead() {
  const absl::Time now = absl::Now();
  for (auto it = peers.begin(); it != peers.end();) {
    const bool silent = !it->hello && now - it->since > kHelloDeadline;
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

absl::Time Server::Impl::Tick(absl::Time now) {
  absl::Time next = std::max(next_accept, now);
  if (now >= next_accept) next = absl::InfiniteFuture();
  for (Peer& peer : peers) {
    next = std::min(next, peer.connection.Tick(now));
    if (!peer.hello) next = std::min(next, peer.since + kHelloDeadline);
  }
  return next;
}

void Server::Impl::Loop() {
  for (;;) {
    const absl::Time now = absl::Now();
    const absl::Time next = Tick(now);
    DropDead();
    std::vector<pollfd> fds = {{.fd = wake.get(), .events = POLLIN, .revents = 0}};
    fds.push_back({.fd = now >= next_accept ? listener.get() : -1, .events = POLLIN, .revents = 0});
    for (const Peer& peer : peers) {
      fds.push_back({.fd = peer.connection.fd(), .events = peer.connection.events(), .revents = 0});
    }
    const bool forever = next == absl::InfiniteFuture();
    ::poll(fds.data(), fds.size(),
           forever ? -1 : static_cast<int>(absl::ToInt64Milliseconds(next - now)) + 1);
    uint64_t drained;
    [[maybe_unused]] const ssize_t n = ::read(wake.get(), &drained, sizeof(drained));
    size_t i = 2;
    for (Peer& peer : peers) {
      if (i < fds.size() && fds[i++].revents != 0) OnReadable(peer);
    }
    if ((fds[1].revents & POLLIN) != 0) Accept();
    if (!RunJobs()) return;
    DropDead();
  }
}

// False: the server is to stop.
bool Server::Impl::RunJobs() {
  std::deque<std::function<void()>> due;
  {
    std::lock_guard lock(mutex);
    if (stop) return false;
    due.swap(jobs);
  }
  for (const auto& job : due) job();
  return true;
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(const std::string& path, Observer observer,
                                                       absl::Duration patience) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->observer = std::move(observer);
  impl->patience = patience;
  impl->wake.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->wake) return Errno(errno, "eventfd");
  Impl* self = impl.get();
  impl->thread = std::thread([self] { self->Loop(); });
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

absl::Status Server::Listen() {
  return impl_->Await([impl = impl_.get()](const Impl::Done& done) {
    absl::StatusOr<UniqueFd> fd = ListenOn(impl->path);
    if (fd.ok()) impl->listener = *std::move(fd);
    done(fd.status());
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
  return impl_->Await([impl = impl_.get(), pod = std::move(pod)](Impl::Done done) {
    impl->AddNow(pod, std::move(done));
  });
}

void Server::Offer(HeldPod pod) {
  Hold(pod);
  impl_->Post([impl = impl_.get(), pod = std::move(pod)] { impl->AddNow(pod, LogRefusal(pod)); });
}

void Server::Renew(HeldPod pod) {
  Hold(pod);
  impl_->Post([impl = impl_.get(), pod = std::move(pod)] { impl->RenewNow(pod); });
}

void Server::LetGo(const std::string& uid) {
  std::lock_guard lock(impl_->mutex);
  impl_->pods.erase(uid);
}

void Server::TakeBack(const std::string& uid) {
  LetGo(uid);
  impl_->Post([impl = impl_.get(), uid] { impl->TakeBackNow(uid); });
}

void Server::Remove(const std::string& uid) {
  LetGo(uid);
  impl_->Post([impl = impl_.get(), uid] { impl->RemoveNow(uid); });
}

int Server::connected() const { return impl_->greeted; }

}  // namespace mesh::node::zds
