#include "tools/meshapp/service.h"

#include "tools/meshapp/text.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

constexpr std::string_view kTraceHeaders[] = {
    "x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled",
    "x-b3-flags",   "b3",           "traceparent", "tracestate",        "x-ot-span-context",
    "end-user",  // who asks, for routes that look at it
};

CallResult CallOnce(const Call& call, const Headers& headers, Deadline deadline) {
  FetchRequest fetch;
  fetch.to = call.to;
  fetch.path = call.path;
  fetch.headers = headers;
  CallResult result{
      .to = call.to.host + ":" + call.to.port, .status = 0, .body = "", .json = false};
  absl::StatusOr<FetchResponse> response = Fetch(fetch, deadline);
  if (!response.ok()) {
    result.body = MessageOf(response.status());
    return result;
  }
  result.status = response->status;
  result.body = std::move(response->body);
  result.json = Find(response->headers, "server") == "meshapp" &&
                Find(response->headers, "content-type") == "application/json";
  return result;
}

}  // namespace

void Request::SetTarget(std::string_view target) {
  if (target.starts_with("http://")) {  // absolute form
    const size_t slash = target.find('/', 7);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  const size_t mark = target.find('?');
  path = target.substr(0, mark);
  query = mark == std::string_view::npos ? "" : target.substr(mark + 1);
}

Upstreams::Upstreams(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

Upstreams::~Upstreams() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool Upstreams::Submit(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= kMaxQueue) return false;
    queue_.push_back(std::move(work));
  }
  ready_.notify_one();
  return true;
}

void Upstreams::Work() {
  while (true) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return ended_ || !queue_.empty(); });
      if (ended_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

void Service::Handle(Request request, Done done) {
  const auto delay = ParseDuration(QueryValue(request.query, "delay").value_or(""));
  if (!delay) return Answer(request, done);
  loop_.After(*delay, [this, request = std::move(request), done = std::move(done)] {
    Answer(request, done);
  });
}

void Service::Answer(const Request& request, const Done& done) {
  std::vector<Call> calls = app_.CallsFor(request);
  if (calls.empty()) return done(Shaped(request, app_.Compose(request, {})));
  const Deadline deadline = std::chrono::steady_clock::now() + options_.upstream_timeout;
  const bool queued = upstreams_.Submit([this, request, done, calls = std::move(calls), deadline] {
    const Headers headers = TraceHeaders(request.headers);
    std::vector<CallResult> results;
    for (const Call& call : calls) results.push_back(CallOnce(call, headers, deadline));
    loop_.Post([this, request, done, results = std::move(results)] {
      done(Shaped(request, app_.Compose(request, results)));
    });
  });
  if (queued) return;
  Response full;
  full.status = 503;
  full.body = "{\"error\":\"too many upstream calls are waiting\"}\n";
  done(std::move(full));
}

Response Service::Shaped(const Request& request, Response response) {
  if (request.query.empty()) {
    if (options_.log) Log(request, response);
    return response;
  }
  const auto value = [&](std::string_view key) {
    return QueryValue(request.query, key).value_or("");
  };
  const auto status = ParseNumber(value("status"));
  const bool known = status && *status >= 200 && *status <= 599;
  if (const auto part = ParseFraction(value("fail"))) {
    if (std::uniform_real_distribution<double>()(random_) < *part) {
      response.status = known ? static_cast<int>(*status) : 503;
    }
  } else if (known) {
    response.status = static_cast<int>(*status);
  }
  if (const auto size = ParseSize(value("size"))) {
    response.content_type = "application/octet-stream";
    response.body.clear();
    response.filler_bytes = *size;
  }
  response.chunks =
      static_cast<unsigned>(std::min<uint64_t>(1000, ParseNumber(value("chunks")).value_or(0)));
  response.gap = ParseDuration(value("gap")).value_or(std::chrono::milliseconds(0));
  response.reset = value("reset") == "1";
  if (options_.log) Log(request, response);
  return response;
}

void Service::Log(const Request& request, const Response& response) const {
  Logger("request")->info("{} path={} protocol={} status={} from={} request_id={}", request.method,
                          Quoted(request.path), request.protocol, response.status, request.from,
                          Quoted(Find(request.headers, "x-request-id")));
}

Headers TraceHeaders(const Headers& incoming) {
  Headers out;
  for (const auto& [name, value] : incoming) {
    for (const std::string_view known : kTraceHeaders) {
      if (name == known) out.emplace_back(name, value);
    }
  }
  return out;
}

std::string DescribeJson(const Request& request, std::string_view service, std::string_view version,
                         std::string_view pod) {
  std::string headers;
  for (size_t i = 0; i < request.headers.size(); ++i) {
    const auto& [name, value] = request.headers[i];
    std::string all = value;
    bool repeated = false;
    for (size_t j = 0; j < request.headers.size(); ++j) {
      if (j == i || request.headers[j].first != name) continue;
      if (j < i)
        repeated = true;
      else
        all += ", " + request.headers[j].second;
    }
    if (repeated) continue;
    if (!headers.empty()) headers += ',';
    headers += JsonString(name) + ":" + JsonString(all);
  }
  return fmt::format(
      R"("service":{},"version":{},"pod":{},"from":{},"protocol":{},"method":{},"path":{},"authority":{},)"
      R"("received_bytes":{},"headers":{{{}}})",
      JsonString(service), JsonString(version), JsonString(pod), JsonString(request.from),
      JsonString(request.protocol), JsonString(request.method), JsonString(request.path),
      JsonString(request.authority), request.body_bytes, headers);
}

std::string ResultsJson(const std::vector<CallResult>& results) {
  std::string out = "[";
  for (const CallResult& result : results) {
    if (out.size() > 1) out += ',';
    std::string_view body = result.body;
    while (!body.empty() && body.back() == '\n') body.remove_suffix(1);
    out += fmt::format(R"({{"to":{},"status":{},"{}":{}}})", JsonString(result.to), result.status,
                       result.status == 0 ? "error" : "answer",
                       result.json && !body.empty() ? std::string(body) : JsonString(body));
  }
  return out + "]";
}

std::vector<Call> EchoApp::CallsFor(const Request& request) const {
  if (request.path == "/health" || request.path == "/ready") return {};
  return calls_;
}

Response EchoApp::Compose(const Request& request, const std::vector<CallResult>& results) const {
  Response response;
  response.body = "{" + DescribeJson(request, service_, version_, pod_);
  if (!calls_.empty()) response.body += ",\"upstreams\":" + ResultsJson(results);
  response.body += "}\n";
  for (const CallResult& result : results) {
    if (result.status == 0) response.status = 502;
    if (result.status >= 500) response.status = result.status;
  }
  return response;
}

}  // namespace mesh::meshapp
