#include "tools/meshapp/load.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

using Clock = std::chrono::steady_clock;

// The name is resolved once a run: a load measures connections, not DNS.
struct Target {
  sockaddr_storage address = {};
  socklen_t length = 0;
};
absl::StatusOr<Target> Resolve(const HostPort& to) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(to.host.c_str(), to.port.c_str(), &hints, &list);
      error != 0) {
    return Unavailable("resolve {}: {}", to.host, ::gai_strerror(error));
  }
  Target target;
  std::memcpy(&target.address, list->ai_addr, list->ai_addrlen);
  target.length = list->ai_addrlen;
  ::freeaddrinfo(list);
  return target;
}

absl::StatusOr<UniqueFd> Open(const Target& target) {
  UniqueFd fd(::socket(target.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Errno(errno, "socket");
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const timeval limit = {.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&target.address), target.length) != 0) {
    return Errno(errno, "connect");
  }
  return fd;
}

absl::Status Exchange(int fd, std::string& buffer) {
  size_t sent = 0;
  while (sent < buffer.size()) {
    const ssize_t n = ::send(fd, buffer.data() + sent, buffer.size() - sent, MSG_NOSIGNAL);
    if (n < 0) return Errno(errno, "send");
    sent += n;
  }
  size_t got = 0;
  while (got < buffer.size()) {
    const ssize_t n = ::recv(fd, buffer.data() + got, buffer.size() - got, 0);
    if (n < 0) return Errno(errno, "receive");
    if (n == 0) return Unavailable("connection closed after {} of {} bytes", got, buffer.size());
    got += n;
  }
  return absl::OkStatus();
}

// Runs `body(result)` on a thread per connection and adds the results up.
template <typename Body>
LoadResult OnThreads(std::string mode, int threads, Body body) {
  LoadResult sum;
  sum.mode = std::move(mode);
  std::mutex mutex;
  std::vector<std::thread> running;
  const auto start = Clock::now();
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&] {
      LoadResult mine;
      body(mine);
      std::lock_guard lock(mutex);
      sum.done += mine.done;
      sum.errors += mine.errors;
      if (!mine.last_error.empty()) sum.last_error = mine.last_error;
      sum.latency.Merge(mine.latency);
    });
  }
  for (std::thread& thread : running) thread.join();
  sum.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return sum;
}

// Counts an error and pauses a little, so that a dead peer is not hammered.
void Failed(LoadResult& result, const absl::Status& status) {
  ++result.errors;
  result.last_error = MessageOf(status);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

absl::Status BulkOnce(const Target& target, const LoadOptions& options, Clock::time_point end,
                      uint64_t& confirmed) {
  ASSIGN_OR_RETURN(const UniqueFd fd, Open(target));
  std::vector<char> block(256 << 10, 'b');
  if (options.reverse) {
    while (Clock::now() < end) {
      const ssize_t n = ::recv(fd.get(), block.data(), block.size(), 0);
      if (n < 0) return Errno(errno, "receive");
      if (n == 0) return Unavailable("the source ended");
      confirmed += n;
    }
    return absl::OkStatus();
  }
  while (Clock::now() < end) {
    if (::send(fd.get(), block.data(), block.size(), MSG_NOSIGNAL) < 0) return Errno(errno, "send");
  }
  ::shutdown(fd.get(), SHUT_WR);
  std::string answer;
  while (true) {
    const ssize_t n = ::recv(fd.get(), block.data(), block.size(), 0);
    if (n < 0) return Errno(errno, "receive the sink's count");
    if (n == 0) break;
    answer.append(block.data(), n);
  }
  while (!answer.empty() && answer.back() == '\n') answer.pop_back();
  const auto count = ParseNumber(answer);
  if (!count) return Invalid("the sink answered \"{}\" in place of a count", answer.substr(0, 40));
  confirmed += *count;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadResult> LoadShort(const LoadOptions& options) {
  ASSIGN_OR_RETURN(const Target target, Resolve(options.to));
  const auto end = Clock::now() + options.time;
  return OnThreads("short", options.connections, [&](LoadResult& result) {
    std::string buffer(options.bytes, 'r');
    while (Clock::now() < end) {
      const auto start = Clock::now();
      absl::StatusOr<UniqueFd> fd = Open(target);
      absl::Status status = fd.ok() ? Exchange(fd->get(), buffer) : fd.status();
      if (!status.ok()) {
        Failed(result, status);
        continue;
      }
      fd->Reset();
      result.latency.Add(Clock::now() - start);
      ++result.done;
    }
  });
}

absl::StatusOr<LoadResult> LoadRoundTrips(const LoadOptions& options) {
  ASSIGN_OR_RETURN(const Target target, Resolve(options.to));
  const auto end = Clock::now() + options.time;
  return OnThreads("rr", options.connections, [&](LoadResult& result) {
    std::string buffer(options.bytes, 'r');
    while (Clock::now() < end) {
      absl::StatusOr<UniqueFd> fd = Open(target);
      absl::Status status = fd.status();
      while (status.ok() && Clock::now() < end) {
        const auto start = Clock::now();
        status = Exchange(fd->get(), buffer);
        if (!status.ok()) break;
        result.latency.Add(Clock::now() - start);
        ++result.done;
      }
      if (!status.ok()) Failed(result, status);
    }
  });
}

absl::StatusOr<LoadResult> LoadIdle(const LoadOptions& options) {
  ASSIGN_OR_RETURN(const Target target, Resolve(options.to));
  LoadResult result;
  result.mode = "idle";
  const auto start = Clock::now();
  std::vector<UniqueFd> held;
  std::string byte = "i";
  for (int i = 0; i < options.connections; ++i) {
    absl::StatusOr<UniqueFd> fd = Open(target);
    const absl::Status status = fd.ok() ? Exchange(fd->get(), byte) : fd.status();
    if (!status.ok()) {
      Failed(result, status);
      if (result.errors > 100) break;
      continue;
    }
    held.push_back(*std::move(fd));
    ++result.done;
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  // Told now, so that whoever measures knows from when on all are held.
  std::printf("held %zu\n", held.size());
  std::fflush(stdout);
  std::this_thread::sleep_for(options.time);
  for (const UniqueFd& fd : held) {  // one that the other side gave up is no idle connection
    char none;
    if (::recv(fd.get(), &none, 1, MSG_DONTWAIT) == 0 || (errno != EAGAIN)) ++result.errors;
  }
  return result;
}

absl::StatusOr<LoadResult> LoadBulk(const LoadOptions& options) {
  ASSIGN_OR_RETURN(const Target target, Resolve(options.to));
  const auto end = Clock::now() + options.time;
  return OnThreads("bulk", options.connections, [&](LoadResult& result) {
    const absl::Status status = BulkOnce(target, options, end, result.done);
    if (!status.ok()) Failed(result, status);
  });
}

std::string LoadResult::Text() const {
  std::string text;
  if (mode == "bulk") {
    text = fmt::format("{} bytes in {:.2f} s: {:.3f} Gbit/s", done, seconds,
                       static_cast<double>(done) * 8 / seconds / 1e9);
  } else {
    text = fmt::format("{} {} in {:.2f} s: {:.0f}/s", done,
                       mode == "short" || mode == "idle" ? "connections" : "exchanges", seconds,
                       static_cast<double>(done) / seconds);
  }
  if (latency.count() > 0) {
    text += fmt::format(", p50 {:.0f} us, p99 {:.0f} us, max {:.0f} us", latency.QuantileUs(0.5),
                        latency.QuantileUs(0.99), latency.max_us());
  }
  text += fmt::format(", {} errors", errors);
  if (errors > 0 && !last_error.empty()) text += fmt::format(" (last: {})", last_error);
  return text + "\n";
}

std::string LoadResult::Json() const {
  return fmt::format(
      R"({{"mode":{},"done":{},"errors":{},"last_error":{},"seconds":{:.4f},"rate":{:.2f},)"
      R"("p50_us":{:.1f},"p99_us":{:.1f},"max_us":{:.1f}}})"
      "\n",
      JsonString(mode), done, errors, JsonString(last_error), seconds,
      static_cast<double>(done) / seconds, latency.QuantileUs(0.5), latency.QuantileUs(0.99),
      latency.max_us());
}

std::string RunClient(const ClientOptions& options, bool& all_ok) {
  std::mutex mutex;
  std::map<std::string, uint64_t> counts;
  std::string body;
  std::atomic<uint64_t> next = 0;
  all_ok = true;
  const LoadResult sum = OnThreads("client", options.connections, [&](LoadResult& result) {
    while (next.fetch_add(1) < options.count) {
      const auto start = Clock::now();
      const absl::StatusOr<FetchResponse> response =
          Fetch(options.request, start + options.timeout);
      result.latency.Add(Clock::now() - start);
      ++result.done;
      std::lock_guard lock(mutex);
      if (!response.ok()) {
        all_ok = false;
        ++counts[fmt::format("error    {}", MessageOf(response.status()))];
        continue;
      }
      if (response->status >= 400) all_ok = false;
      ++counts[fmt::format("status   {}", response->status)];
      // Which version answered is what a split of traffic is judged by.
      constexpr std::string_view kKey = "\"version\":\"";
      if (const size_t at = response->body.find(kKey); at != std::string::npos) {
        const size_t from = at + kKey.size();
        ++counts[fmt::format("version  {}",
                             response->body.substr(from, response->body.find('"', from) - from))];
      }
      if (options.print_body) body = response->body;
    }
  });
  std::string text = body;
  if (!text.empty() && text.back() != '\n') text += '\n';
  text += sum.Text();
  for (const auto& [what, count] : counts) text += fmt::format("{:>8}  {}\n", count, what);
  return text;
}

}  // namespace mesh::meshapp
