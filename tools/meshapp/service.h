// What the sample answers, whatever protocol asked: an App says which upstreams a request needs and
// makes the answer of what they said; Service adds what every app can do on request (query string):
//   delay=200ms  status=503  fail=0.3 (that part of requests fails, with `status` or 503)  size=1M
//   chunks=5&gap=100ms (a streamed answer)  reset=1 (RST in place of an answer)
//
// One Service per loop, on its thread. Upstream calls run on the threads of Upstreams, a bounded
// pool; a full queue answers 503. `done` is called on the loop's thread, at once or later, exactly
// once.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tools/meshapp/fetch.h"
#include "tools/meshapp/http1.h"
#include "tools/meshapp/loop.h"

namespace mesh::meshapp {

struct Request {
  std::string protocol;  // HTTP/1.1, HTTP/2
  std::string method;
  std::string path;  // without the query
  std::string query;
  std::string authority;
  Headers headers;
  std::string from;  // the peer's address as this process sees it
  uint64_t body_bytes = 0;
  void SetTarget(std::string_view target);
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  uint64_t filler_bytes = 0;  // in place of a body: that many bytes of nothing in particular
  unsigned chunks = 0;        // over 0: the body in that many pieces, `gap` apart
  std::chrono::milliseconds gap{0};
  bool reset = false;
};

struct Call {
  HostPort to;
  std::string path = "/";
};
struct CallResult {
  std::string to;
  int status = 0;  // 0: no answer, `body` says why
  std::string body;
  bool json = false;  // the body is JSON of another meshapp
};

class App {
 public:
  virtual ~App() = default;
  virtual std::vector<Call> CallsFor(const Request& request) const = 0;
  virtual Response Compose(const Request& request,
                           const std::vector<CallResult>& results) const = 0;
};

class Upstreams {
 public:
  static constexpr size_t kMaxQueue = 1024;
  explicit Upstreams(int threads);
  ~Upstreams();
  bool Submit(std::function<void()> work);  // false: the queue is full

 private:
  void Work();
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> queue_;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

class Service {
 public:
  struct Options {
    std::chrono::milliseconds upstream_timeout{10'000};
    bool log = false;  // a line per request
  };
  using Done = std::function<void(Response)>;

  Service(Loop& loop, const App& app, Upstreams& upstreams, Options options)
      : loop_(loop), app_(app), upstreams_(upstreams), options_(options) {}
  void Handle(Request request, Done done);

 private:
  void Answer(const Request& request, const Done& done);
  Response Shaped(const Request& request, Response response);
  void Log(const Request& request, const Response& response) const;

  Loop& loop_;
  const App& app_;
  Upstreams& upstreams_;
  const Options options_;
  std::minstd_rand random_{std::random_device()()};
};

// The headers that a service hands on to the services it calls, so that a trace hangs together.
Headers TraceHeaders(const Headers& incoming);

// The members that every JSON answer starts with (no braces): who answered, what it saw.
std::string DescribeJson(const Request& request, std::string_view service, std::string_view version,
                         std::string_view pod);
std::string ResultsJson(const std::vector<CallResult>& results);

// `meshapp serve`: describes itself and the request; calls a fixed list of upstreams.
class EchoApp : public App {
 public:
  EchoApp(std::string service, std::string version, std::string pod, std::vector<Call> calls)
      : service_(std::move(service)),
        version_(std::move(version)),
        pod_(std::move(pod)),
        calls_(std::move(calls)) {}
  std::vector<Call> CallsFor(const Request& request) const override;
  Response Compose(const Request& request, const std::vector<CallResult>& results) const override;

 private:
  std::string service_, version_, pod_;
  std::vector<Call> calls_;
};

}  // namespace mesh::meshapp
