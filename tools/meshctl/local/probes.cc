#include "tools/meshctl/local/probes.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>

#include "tools/meshctl/http.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::local {
namespace {

using meshctl::Json;

// A port's number; a name is looked up among the container's ports.
int PortOf(const Json& port, const Json& container) {
  if (port.IsNumber()) return port.Int();
  for (const Json& item : container.At("ports").Items()) {
    if (item.At("name") == port) return item.At("containerPort").Int();
  }
  return port.Int();
}

std::string HostText(const std::string& ip) {
  return ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
}

int Connects(const SocketAddress& to, absl::Duration timeout) {
  sockaddr_storage storage = {};
  const socklen_t length = to.ToSockaddr(storage, to.family());
  UniqueFd fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) == 0) return 0;
  if (errno != EINPROGRESS) return 1;
  pollfd wait = {fd.get(), POLLOUT, 0};
  if (::poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) <= 0) return 1;
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? 0 : 1;
}

}  // namespace

int RunProbe(const std::string& kind, const std::string& target, absl::Duration timeout) {
  if (kind == "tcp") {
    const auto address = SocketAddress::Parse(target);
    return address ? Connects(*address, timeout) : 2;
  }
  const auto answer = meshctl::Http({.url = target, .timeout = timeout});
  return answer.ok() && answer->code >= 200 && answer->code < 400 ? 0 : 1;
}

Probe::Probe(Json spec, Children& children) : spec_(std::move(spec)), children_(children) {}

Probe::~Probe() { Stop(); }

void Probe::Start(absl::Time now) {
  Stop();
  passing_ = failed_ = false;
  successes_ = failures_ = 0;
  if (exists()) next_ = now + absl::Seconds(spec_.At("initialDelaySeconds").Num());
}

void Probe::Stop() {
  next_ = absl::InfiniteFuture();
  passing_ = false;
  if (pid_ > 0) {
    children_.Forget(pid_);
    ::kill(-pid_, SIGKILL);
    pid_ = -1;
  }
}

void Probe::Tick(absl::Time now, const ProbePlace& place) {
  if (pid_ > 0) {
    if (now > deadline_) ::kill(-pid_, SIGKILL);  // Finish() comes with its end
    return;
  }
  if (now < next_) return;
  const absl::Duration timeout = absl::Seconds(std::max(1.0, spec_.At("timeoutSeconds").Num(1)));
  next_ = now + absl::Seconds(std::max(1.0, spec_.At("periodSeconds").Num(10)));
  deadline_ = now + timeout + absl::Seconds(1);
  LaunchSpec spec;
  if (spec_.Has("exec")) {
    spec = place.in_pod;
    spec.argv.clear();
    for (const Json& word : spec_.Get({"exec", "command"}).Items()) spec.argv.push_back(word.Str());
  } else {
    spec = place.in_node;
    const bool http = spec_.Has("httpGet");
    const Json& how = spec_.At(http ? "httpGet" : spec_.Has("grpc") ? "grpc" : "tcpSocket");
    const std::string host = HostText(how.At("host").Str(place.pod_ip));
    const int port = PortOf(how.At("port"), place.container);
    const std::string path = how.At("path").Str("/");
    spec.argv = {
        SelfPath(),
        "local",
        "probe",
        http ? "http" : "tcp",
        http ? fmt::format("http://{}:{}{}{}", host, port, path.starts_with("/") ? "" : "/", path)
             : fmt::format("{}:{}", host, port),
        std::to_string(absl::ToInt64Milliseconds(timeout))};
  }
  auto pid = Launch(spec);
  if (!pid.ok()) {
    message_ = std::string(pid.status().message());
    Finish(127);
    return;
  }
  pid_ = *pid;
  children_.Watch(pid_, [this](int code) {
    pid_ = -1;
    Finish(code);
  });
}

void Probe::Finish(int code) {
  if (code == 0) {
    failures_ = 0;
    if (++successes_ >= std::max(1, spec_.At("successThreshold").Int(1))) passing_ = true;
    message_.clear();
    return;
  }
  successes_ = 0;
  if (message_.empty() || code != 127) message_ = "check failed";
  if (++failures_ >= std::max(1, spec_.At("failureThreshold").Int(3))) {
    passing_ = false;
    failed_ = true;
  }
}

}  // namespace mesh::local
