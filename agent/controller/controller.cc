#include "agent/controller/controller.h"

#include <absl/time/clock.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <csignal>

#include "agent/controller/ca/signing.h"
#include "agent/controller/call_queue.h"
#include "agent/controller/object_writer.h"
#include "agent/controller/problem_conditions.h"
#include "agent/controller/report.h"
#include "agent/controller/status_writer.h"
#include "agent/controller/xds/debouncer.h"
#include "agent/controller/xds/grpc_server.h"
#include "agent/controller/xds/resource_index.h"
#include "agent/k8s/local_source.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/http/server.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

constexpr absl::Duration kServerCertificateLifetime = absl::Hours(24 * 90);
constexpr int kHttpThreads = 4;
constexpr absl::Duration kTick = absl::Seconds(1);

}  // namespace

class Controller::Impl {
 public:
  Impl(ControllerOptions o, CertificateAuthority ca, JwtReviewer jwt,
       std::unique_ptr<k8s::LocalSource> src)
      : options(std::move(o)),
        authority(std::move(ca)),
        reviewer(std::move(jwt)),
        source(std::move(src)),
        compiler(options.settings),
        index(compiler),
        hub(index, NextVersion()),
        signing(authority, compiler),
        status(options.status_directory),
        objects(options.objects_directory) {}

  ~Impl() {
    http.reset();  // its handlers wait for this thread no longer than their patience
    grpc.reset();
  }

  absl::Status Serve();
  void ReadSource();
  void OnTick(absl::Time now);
  absl::Status RenewServerCertificate();
  void RenewAuthority();
  base::HttpResponse Answer(const base::HttpRequest& request);

  // Names a state of the resources; it differs across restarts.
  std::string NextVersion() {
    return fmt::format("{}/{}", absl::ToUnixSeconds(started), ++versions);
  }
  ReportSources Sources() { return {compiler, hub, signing, authority, *source}; }

  const absl::Time started = absl::Now();
  uint64_t versions = 0;
  bool synced = false;  // the source has told all there is
  ControllerOptions options;
  CertificateAuthority authority;
  JwtReviewer reviewer;
  std::unique_ptr<k8s::LocalSource> source;
  Compiler compiler;
  ResourceIndex index;
  Hub hub;
  SigningService signing;
  StatusWriter status;
  ObjectWriter objects;
  Debouncer debouncer;
  CallQueue queue;
  absl::Time server_certificate_end;
  std::string authority_problem;  // told last
  std::vector<k8s::Problem> problems_logged;
  std::unique_ptr<GrpcServer> grpc;
  std::unique_ptr<base::HttpServer> http;
};

absl::Status Controller::Impl::RenewServerCertificate() {
  std::vector<std::string> names = {"istiod.istio-system.svc",
                                    "mesh-controller.istio-system.svc",
                                    "istiod." + options.settings.system_namespace + ".svc",
                                    "localhost",
                                    "127.0.0.1",
                                    "::1"};
  names.insert(names.end(), options.xds_hosts.begin(), options.xds_hosts.end());
  if (const auto where = SocketAddress::Parse(options.xds_address);
      where && !where->ip.IsUnspecified()) {
    names.push_back(where->ip.ToString());
  }
  ASSIGN_OR_RETURN(const auto server, authority.IssueServer(names, kServerCertificateLifetime));
  // The certificate before the key: gRPC reads both again when either changed, and refuses a pair
  // that does not fit until the next look.
  RETURN_IF_ERROR(WriteFile(options.ca_directory + "/server-cert.pem", server.chain_pem, 0644));
  RETURN_IF_ERROR(WriteFile(options.ca_directory + "/server-key.pem", server.key_pem, 0600));
  server_certificate_end = server.not_after;
  return absl::OkStatus();
}

void Controller::Impl::ReadSource() {
  source->Poll([this](const std::vector<k8s::Event>& events) {
    synced = true;
    const std::vector<ResourceChange> changes = compiler.Apply(events);
    status.Write(compiler.TakeStatuses());
    objects.Write(compiler.TakeObjects());
    if (changes.empty()) return;
    index.Update(changes);
    hub.Stage(changes);
    debouncer.OnChange(absl::Now());
  });
  if (source->problems() == problems_logged) return;
  status.WriteConditions(ConditionsOf(source->problems()));
  for (const k8s::Problem& problem : source->problems()) {  // both are sorted
    if (std::binary_search(problems_logged.begin(), problems_logged.end(), problem)) continue;
    Logger("source")->warn("problem at={}", Quoted(problem.ToString()));
  }
  problems_logged = source->problems();
}

absl::Status Controller::Impl::Serve() {
  ReadSource();
  if (!synced) {
    // Clients would be told that everything they have is gone.
    return FailedPrecondition(
        "the manifests cannot all be read: {}",
        source->problems().empty() ? "for no known reason" : source->problems()[0].ToString());
  }
  hub.Push(NextVersion(), absl::Now());
  debouncer = Debouncer();  // what was read at the start is told to each client as it comes
  status.Sweep();
  objects.Sweep();
  RETURN_IF_ERROR(WithContext(RenewServerCertificate(), "server certificate"));
  if (!options.root_cert_out.empty()) {
    RETURN_IF_ERROR(WriteFile(options.root_cert_out, authority.root_pem(), 0644));
  }
  const GrpcServer::Options server{.address = options.xds_address,
                                   .key_file = options.ca_directory + "/server-key.pem",
                                   .certificate_file = options.ca_directory + "/server-cert.pem",
                                   .authenticate_xds = options.authenticate_xds};
  ASSIGN_OR_RETURN(grpc, GrpcServer::Start(server, {queue, hub, signing, reviewer}));
  if (!options.http_address.empty()) {
    ASSIGN_OR_RETURN(http, base::HttpServer::Listen(
                               options.http_address,
                               [this](const base::HttpRequest& request) { return Answer(request); },
                               {.threads = kHttpThreads}));
  }
  Logger("controller")
      ->info("serving xds={} port={} http_port={} objects={} addresses={} policies={}",
             options.xds_address, grpc->port(), http ? http->port() : 0, compiler.object_count(),
             compiler.resources(ResourceType::kAddress).size(),
             compiler.resources(ResourceType::kAuthorization).size());
  return absl::OkStatus();
}

// On the HTTP server's threads.
base::HttpResponse Controller::Impl::Answer(const base::HttpRequest& request) {
  const std::string& path = request.path;
  if (request.method != "GET" && request.method != "HEAD") {
    return {.status = 405, .body = "GET only\n", .allow = "GET"};
  }
  if (path == "/ready" || path == "/healthz") return {200, "ready\n", "text/plain"};
  std::function<std::string()> make;
  std::string content_type = "application/json";
  if (path == "/metrics") {
    content_type = "text/plain; version=0.0.4";
    make = [this] { return Metrics(Sources()); };
  } else if (path == "/debug/status") {
    make = [this] { return StatusJson(Sources()); };
  } else if (path == "/debug/problems") {
    make = [this] { return ProblemsJson(Sources()); };
  } else if (path == "/debug/conditions") {
    make = [this] { return ConditionsJson(Sources()); };
  } else if (path == "/debug/certificates") {
    make = [this] { return CertificatesJson(Sources()); };
  } else if (path == "/debug/resources") {
    make = [this, type = request.Parameter("type")] { return ResourcesJson(Sources(), type); };
  } else {
    return {404,
            "not found: /ready /metrics /debug/status /debug/problems /debug/conditions "
            "/debug/resources?type= /debug/certificates\n",
            "text/plain"};
  }
  absl::StatusOr<std::string> text = queue.Call(std::move(make), absl::Seconds(5));
  if (!text.ok()) return {503, std::string(MessageOf(text.status())) + "\n", "text/plain"};
  return {200, *std::move(text), content_type};
}

void Controller::Impl::RenewAuthority() {
  const absl::StatusOr<bool> renewed = authority.Renew();
  if (renewed.ok() && !*renewed) return;
  std::string problem(MessageOf(renewed.status()));
  if (renewed.ok()) {
    Logger("ca")->info("the authority's files were changed and are in use");
    server_certificate_end = absl::InfinitePast();  // of the old authority
    if (!options.root_cert_out.empty()) {
      problem = MessageOf(WriteFile(options.root_cert_out, authority.root_pem(), 0644));
    }
  }
  if (problem != std::exchange(authority_problem, problem) && !problem.empty()) {
    Logger("ca")->error("the authority's files were changed and are not in use err={}",
                        Quoted(problem));
  }
}

void Controller::Impl::OnTick(absl::Time now) {
  hub.Tick(now);
  RenewAuthority();
  if (server_certificate_end - now < kServerCertificateLifetime / 2) {
    if (const absl::Status renewed = RenewServerCertificate(); !renewed.ok()) {
      Logger("controller")->error("server certificate not renewed err={}", Describe(renewed));
      server_certificate_end =
          now + kServerCertificateLifetime / 2 + absl::Minutes(1);  // again then
    }
  }
}

Controller::Controller(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Controller::~Controller() = default;
int Controller::xds_port() const { return impl_->grpc->port(); }
int Controller::http_port() const { return impl_->http ? impl_->http->port() : 0; }

absl::StatusOr<std::unique_ptr<Controller>> Controller::Start(ControllerOptions options) {
  options.settings.manage_waypoints = !options.objects_directory.empty();
  options.settings.auto_waypoints &= options.settings.manage_waypoints;
  ASSIGN_OR_RETURN(
      CertificateAuthority authority,
      CertificateAuthority::Open({.directory = options.ca_directory,
                                  .trust_domain = options.settings.trust_domain,
                                  .root_lifetime = options.ca_lifetime,
                                  .default_lifetime = options.default_certificate_lifetime,
                                  .max_lifetime = options.max_certificate_lifetime}));
  ASSIGN_OR_RETURN(const std::string key, ReadFile(options.token_key_file));
  absl::StatusOr<JwtReviewer> reviewer = JwtReviewer::Create(key);
  if (!reviewer.ok()) return WithContext(reviewer.status(), options.token_key_file);
  ASSIGN_OR_RETURN(auto source, k8s::LocalSource::Create(options.source_directories));
  if (!options.record_directory.empty()) {
    RETURN_IF_ERROR(source->KeepRecord(options.record_directory));
  }
  auto impl = std::make_unique<Impl>(std::move(options), std::move(authority), *std::move(reviewer),
                                     std::move(source));
  RETURN_IF_ERROR(impl->Serve());
  return std::unique_ptr<Controller>(new Controller(std::move(impl)));
}

void Controller::Run(int stop_fd) {
  absl::Time next_tick = absl::Now() + kTick;
  while (true) {
    const absl::Time due = std::min(impl_->debouncer.due(), next_tick);
    const absl::Duration wait = std::max(due - absl::Now(), absl::ZeroDuration());
    pollfd fds[] = {
        {stop_fd, POLLIN, 0}, {impl_->queue.fd(), POLLIN, 0}, {impl_->source->fd(), POLLIN, 0}};
    (void)::poll(fds, 3, static_cast<int>(absl::ToInt64Milliseconds(wait) + 1));
    if (fds[0].revents != 0) return;
    // Objects before requests: a node proxy may ask for a pod's certificate in the moment in which
    // the pod's object was written.
    if (pollfd source{impl_->source->fd(), POLLIN, 0}; ::poll(&source, 1, 0) > 0)
      impl_->ReadSource();
    if (fds[1].revents != 0) impl_->queue.Drain();
    const absl::Time now = absl::Now();
    if (impl_->debouncer.TakeDue(now)) impl_->hub.Push(impl_->NextVersion(), now);
    if (now >= next_tick) {
      impl_->OnTick(now);
      next_tick = now + kTick;
    }
  }
}

int RunController(const ControllerOptions& options) {
  // Before any thread is made, so that all of them leave these to the descriptor.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const UniqueFd stop(::signalfd(-1, &signals, SFD_CLOEXEC));
  absl::StatusOr<std::unique_ptr<Controller>> controller = Controller::Start(options);
  if (!controller.ok()) {
    Logger("controller")->error("cannot start err={}", Describe(controller.status()));
    return 1;
  }
  (*controller)->Run(stop.get());
  Logger("controller")->info("stopping");
  return 0;
}

}  // namespace mesh::controller
