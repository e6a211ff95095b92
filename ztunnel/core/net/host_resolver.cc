#include "ztunnel/core/net/host_resolver.h"

#include <netdb.h>
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/string_map.h"

namespace mesh::net {

absl::StatusOr<std::vector<IpAddress>> SystemLookup(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // else each address comes once a protocol
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error == EAI_NONAME || error == EAI_NODATA) {
    return NotFound("host {}: {}", Quoted(host), ::gai_strerror(error));
  }
  if (error != 0) return Unavailable("host {}: {}", Quoted(host), ::gai_strerror(error));
  std::vector<IpAddress> addresses;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    sockaddr_storage storage{};
    memcpy(&storage, at->ai_addr, std::min<size_t>(at->ai_addrlen, sizeof storage));
    if (const auto address = SocketAddress::FromSockaddr(storage)) {
      addresses.push_back(address->ip);
    }
  }
  ::freeaddrinfo(found);
  if (addresses.empty()) return NotFound("host {} has no address", Quoted(host));
  return addresses;
}

struct HostResolver::State {
  explicit State(Options o) : options(std::move(o)) {}

  struct Waiter {
    base::EventLoop* loop;
    std::function<void(Result)> done;
  };
  struct Name {
    Result result;
    absl::Time expires;
    bool looking = false;
    std::vector<Waiter> waiters;
  };

  // Room for one more name: what has expired goes, or what expires first. False when all are being
  // looked up.
  bool MakeRoom() {
    if (names.size() < options.max_names) return true;
    const absl::Time now = options.now();
    auto first = names.end();
    for (auto it = names.begin(); it != names.end();) {
      const auto here = it++;
      if (here->second.looking) continue;
      if (here->second.expires <= now) {
        names.erase(here);
      } else if (first == names.end() || here->second.expires < first->second.expires) {
        first = here;
      }
    }
    if (names.size() < options.max_names) return true;
    if (first == names.end()) return false;
    names.erase(first);
    return true;
  }

  void Finish(const std::string& host, Result result) {
    std::lock_guard lock(mutex);
    if (stopped) return;
    Name& name = names[host];
    name.looking = false;
    if (!result.ok()) ++counters.failures;
    name.expires = options.now() + (result.ok() ? options.keep : options.keep_failure);
    for (Waiter& waiter : name.waiters) {
      waiter.loop->Post([done = std::move(waiter.done), result] { done(result); });
    }
    waiting -= name.waiters.size();
    name.waiters = {};
    name.result = std::move(result);
  }

  static void Work(std::shared_ptr<State> state) {
    std::unique_lock lock(state->mutex);
    for (;;) {
      ++state->idle;
      state->wake.wait(lock, [&] { return state->stopped || !state->queue.empty(); });
      --state->idle;
      if (state->stopped) return;
      const std::string host = std::move(state->queue.front());
      state->queue.pop_front();
      lock.unlock();
      Result result = state->options.lookup(host);
      state->Finish(host, std::move(result));
      lock.lock();
    }
  }

  const Options options;
  std::mutex mutex;
  std::condition_variable wake;
  StringMap<Name> names;
  std::deque<std::string> queue;
  size_t waiting = 0;
  size_t threads = 0, idle = 0;
  bool stopped = false;
  Counters counters;
};

HostResolver::HostResolver(Options options) : state_(std::make_shared<State>(std::move(options))) {}

HostResolver::~HostResolver() { Stop(); }

void HostResolver::Resolve(const std::string& host, base::EventLoop& loop,
                           std::function<void(Result)> done) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const auto refuse = [&](absl::Status why) {
    ++state.counters.refused;
    lock.unlock();
    done(std::move(why));
  };
  const auto it = state.names.find(host);
  if (it != state.names.end() && !it->second.looking && state.options.now() < it->second.expires) {
    Result result = it->second.result;
    lock.unlock();
    done(std::move(result));
    return;
  }
  if (state.stopped) return refuse(Cancelled("host {}: the proxy ends", Quoted(host)));
  if (state.waiting >= state.options.max_waiters) {
    return refuse(ResourceExhausted("{} connections wait for host names", state.waiting));
  }
  const bool looking = it != state.names.end() && it->second.looking;
  if (!looking) {
    if (state.queue.size() >= state.options.max_queued) {
      return refuse(ResourceExhausted("{} host names wait to be looked up", state.queue.size()));
    }
    if (it == state.names.end() && !state.MakeRoom()) {
      return refuse(ResourceExhausted("{} host names are being looked up", state.names.size()));
    }
  }
  State::Name& name = state.names[host];
  name.waiters.push_back({&loop, std::move(done)});
  ++state.waiting;
  if (looking) return;
  name.looking = true;
  ++state.counters.lookups;
  state.queue.push_back(host);
  if (state.idle < state.queue.size() && state.threads < state.options.threads) {
    ++state.threads;
    std::thread thread(State::Work, state_);
    ::pthread_setname_np(thread.native_handle(), "host-lookup");
    thread.detach();
  }
  state.wake.notify_one();
}

void HostResolver::Stop() {
  std::lock_guard lock(state_->mutex);
  state_->stopped = true;
  state_->names.clear();
  state_->queue.clear();
  state_->waiting = 0;
  state_->wake.notify_all();
}

HostResolver::Counters HostResolver::counters() const {
  std::lock_guard lock(state_->mutex);
  Counters counters = state_->counters;
  counters.names = state_->names.size();
  return counters;
}

base::Task<HostResolver::Result> ResolveHost(base::EventLoop& loop, HostResolver& resolver,
                                             std::string host, absl::Duration wait) {
  struct Answer {
    explicit Answer(base::EventLoop& l) : event(l) {}
    base::Event event;
    HostResolver::Result result;
  };
  // Shared with the callback, which may come when this frame is gone.
  auto answer = std::make_shared<Answer>(loop);
  resolver.Resolve(host, loop, [answer](HostResolver::Result result) {
    answer->result = std::move(result);
    answer->event.Set();
  });
  const bool answered = co_await answer->event.Wait(wait);
  if (!answered) co_return DeadlineExceeded("host {}: no answer in time", Quoted(host));
  co_return answer->result;
}

}  // namespace mesh::net
