// meshapp: the sample program, its servers, its client and its load. `meshapp --help` lists them.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <cstdlib>
#include <functional>

#include "tools/meshapp/bookinfo.h"
#include "tools/meshapp/load.h"
#include "tools/meshapp/program.h"
#include "tools/meshapp/tcp_protocol.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

std::string Environment(const char* name, std::string fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : fallback;
}

std::string Hostname() {
  char name[256] = "";
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

int Exit(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "meshapp: %s\n", std::string(MessageOf(status)).c_str());
  return 1;
}

// A place that the environment names as Istio's sample does: DETAILS_HOSTNAME,
// DETAILS_SERVICE_PORT.
HostPort Place(const std::string& variable, const std::string& name) {
  HostPort place{Environment((variable + "_HOSTNAME").c_str(), name),
                 Environment((variable + "_SERVICE_PORT").c_str(), "9080")};
  if (!ParseNumber(place.port)) place.port = "9080";  // Kubernetes' own link variables are URLs
  const std::string domain = Environment("SERVICES_DOMAIN", "");
  if (!domain.empty()) place.host += "." + domain;
  return place;
}

struct Flags {
  ServerOptions server;
  std::string name = "meshapp", version = "v1", greeting = "hello from meshapp\n", role;
  std::string pod = Environment("POD_NAME", Hostname());
  std::vector<std::string> calls, headers;
  std::string url, method = "GET", body, time = "5", to, size = "100", timeout = "10s";
  ClientOptions client;
  LoadOptions load;
  bool json = false;
};

absl::Status Serve(const Flags& flags) {
  std::vector<Call> calls;
  for (const std::string& text : flags.calls) {
    absl::StatusOr<FetchRequest> call = ParseUrl(text);
    if (!call.ok()) return WithContext(call.status(), "--calls");
    calls.push_back({call->to, call->path});
  }
  const EchoApp app(flags.name, flags.version, flags.pod, std::move(calls));
  return RunHttp(app, flags.server);
}

absl::Status ServeBookinfo(const Flags& flags) {
  const auto role = Bookinfo::RoleOf(flags.role);
  if (!role) return Invalid("\"{}\" is none of productpage, details, reviews, ratings", flags.role);
  Bookinfo::Options options;
  options.role = *role;
  options.version = flags.version;
  options.pod = flags.pod;
  options.details = Place("DETAILS", "details");
  options.reviews = Place("REVIEWS", "reviews");
  options.ratings = Place("RATINGS", "ratings");
  options.with_ratings =
      Environment("ENABLE_RATINGS", flags.version == "v1" ? "false" : "true") == "true";
  options.star_color = Environment("STAR_COLOR", flags.version == "v3" ? "red" : "black");
  const Bookinfo app(options);
  return RunHttp(app, flags.server);
}

absl::Status ServeTcp(const Flags& flags, const std::string& kind) {
  return RunTcp(
      [&](Connection& connection) -> std::unique_ptr<Protocol> {
        if (kind == "sink") return std::make_unique<SinkProtocol>(connection);
        if (kind == "source") return std::make_unique<SourceProtocol>(connection);
        return std::make_unique<EchoProtocol>(connection,
                                              kind == "tcp-server-first" ? flags.greeting : "");
      },
      flags.server);
}

absl::Status Client(Flags& flags) {
  absl::StatusOr<FetchRequest> request = ParseUrl(flags.url);
  if (!request.ok()) return request.status();
  flags.client.request = *std::move(request);
  flags.client.request.method = flags.method;
  flags.client.request.body = flags.body;
  for (const std::string& header : flags.headers) {
    const size_t colon = header.find(':');
    if (colon == std::string::npos) return Invalid("header \"{}\" has no colon", header);
    const size_t value = header.find_first_not_of(' ', colon + 1);
    flags.client.request.headers.emplace_back(
        Lower(header.substr(0, colon)), value == std::string::npos ? "" : header.substr(value));
  }
  const auto timeout = ParseDuration(flags.timeout);
  if (!timeout) return Invalid("--timeout \"{}\" is no duration", flags.timeout);
  flags.client.timeout = *timeout;
  bool all_ok = false;
  std::fputs(RunClient(flags.client, all_ok).c_str(), stdout);
  return all_ok ? absl::OkStatus() : Unavailable("not every request succeeded");
}

absl::Status Load(Flags& flags, const std::string& mode) {
  const auto to = ParseHostPort(flags.to);
  if (!to) return Invalid("--connect \"{}\" is no host:port", flags.to);
  const auto seconds = ParseDuration(
      flags.time.find_first_not_of("0123456789.") == std::string::npos ? flags.time + "s"
                                                                       : flags.time);
  if (!seconds) return Invalid("--seconds \"{}\" is no duration", flags.time);
  const auto bytes = ParseSize(flags.size);
  if (!bytes || *bytes == 0 || *bytes > (64 << 20))
    return Invalid("--bytes \"{}\" is no size", flags.size);
  RaiseFileLimit();
  flags.load.to = *to;
  flags.load.time = *seconds;
  flags.load.bytes = *bytes;
  absl::StatusOr<LoadResult> result = mode == "short"  ? LoadShort(flags.load)
                                      : mode == "rr"   ? LoadRoundTrips(flags.load)
                                      : mode == "idle" ? LoadIdle(flags.load)
                                      : mode == "bulk" ? LoadBulk(flags.load)
                                                       : LoadHttp(flags.load);
  if (!result.ok()) return result.status();
  std::fputs((flags.json ? result->Json() : result->Text()).c_str(), stdout);
  return result->errors == 0 ? absl::OkStatus() : Unavailable("{} errors", result->errors);
}

int Main(int argc, char** argv) {
  CLI::App cli("The sample program of Culvert: HTTP, gRPC and TCP servers, a client, load.");
  cli.require_subcommand(1);
  cli.set_version_flag("--version", MESH_VERSION);
  Flags flags;
  std::function<absl::Status()> run;

  const auto server_flags = [&](CLI::App* command, uint16_t port) {
    command->add_option("--port", flags.server.port,
                        "0: any free one (default " + std::to_string(port) + ")");
    command->add_option("--threads", flags.server.threads)->check(CLI::Range(1, 64));
    command->parse_complete_callback([command, &flags, port] {
      if (command->count("--port") == 0) flags.server.port = port;
    });
  };
  CLI::App* serve =
      cli.add_subcommand("serve", "HTTP/1.1, h2c and gRPC echo; describes itself and the request");
  server_flags(serve, 8080);
  serve->add_option("--name", flags.name, "the service's name")->envname("SERVICE_NAME");
  serve->add_option("--version", flags.version)->envname("SERVICE_VERSION");
  serve->add_option("--pod", flags.pod, "what to call this instance (default: the host's name)");
  serve->add_option("--calls", flags.calls, "upstreams, host:port[/path], asked for every request")
      ->delimiter(',');
  serve->add_flag("--log", flags.server.service.log, "a line per request");
  serve->callback([&] { run = [&] { return Serve(flags); }; });

  CLI::App* bookinfo =
      cli.add_subcommand("bookinfo", "one service of Istio's Bookinfo sample, by its routes");
  server_flags(bookinfo, 9080);
  bookinfo->add_option("role", flags.role, "productpage, details, reviews or ratings")->required();
  bookinfo->add_option("version", flags.version)->envname("SERVICE_VERSION");
  bookinfo->add_option("--pod", flags.pod);
  bookinfo->add_flag("--log", flags.server.service.log, "a line per request");
  bookinfo->callback([&] { run = [&] { return ServeBookinfo(flags); }; });

  for (const auto& [name, what] : {std::pair("tcp-echo", "sends back what it gets"),
                                   std::pair("tcp-server-first", "greets, then echoes"),
                                   std::pair("sink", "reads to the end, then says how many bytes"),
                                   std::pair("source", "sends for as long as the peer reads")}) {
    CLI::App* command = cli.add_subcommand(name, what);
    server_flags(command, 9000);
    command->add_option("--greeting", flags.greeting, "of tcp-server-first");
    command->callback(
        [&, kind = std::string(name)] { run = [&, kind] { return ServeTcp(flags, kind); }; });
  }
  cli.add_subcommand("sleep", "waits to be ended")->callback([&] {
    run = [] {
      RunSleep();
      return absl::OkStatus();
    };
  });

  CLI::App* client =
      cli.add_subcommand("client", "HTTP/1.1 requests; counts statuses and versions");
  client->add_option("url", flags.url, "http://host[:port]/path")->required();
  client->add_option("-n,--count", flags.client.count);
  client->add_option("-c,--connections", flags.client.connections)->check(CLI::Range(1, 1000));
  client->add_option("-H,--header", flags.headers, "\"name: value\", repeatable")
      ->allow_extra_args(false);
  client->add_option("-X,--method", flags.method);
  client->add_option("-d,--body", flags.body);
  client->add_option("--timeout", flags.timeout, "of one request");
  client->add_flag("-b,--print-body", flags.client.print_body, "the last answer's body first");
  client->callback([&] { run = [&] { return Client(flags); }; });

  CLI::App* load = cli.add_subcommand("load", "load against a server of this program");
  load->require_subcommand(1);
  for (const auto& [name, what, connections] :
       {std::tuple("short", "connect, one exchange, close (to tcp-echo)", 8),
        std::tuple("rr", "ping-pong on each connection (to tcp-echo)", 1),
        std::tuple("idle", "connections that exchanged one byte and wait (to tcp-echo)", 1000),
        std::tuple("bulk", "bytes into a sink, or with --reverse out of a source", 1),
        std::tuple("http", "GET on keep-alive connections", 32)}) {
    CLI::App* mode = load->add_subcommand(name, what);
    mode->add_option("--connect", flags.to, "host:port")->required();
    mode->add_option("-c,--connections,--threads", flags.load.connections)
        ->check(CLI::Range(1, 19'000));
    mode->add_option("--seconds", flags.time);
    mode->add_option("--bytes", flags.size, "of one exchange");
    mode->add_option("--path", flags.load.path, "of http");
    mode->add_flag("--reverse", flags.load.reverse, "of bulk");
    mode->add_flag("--json", flags.json);
    mode->parse_complete_callback([mode, &flags, connections] {
      if (mode->count("--connections") == 0) flags.load.connections = connections;
    });
    mode->callback(
        [&, kind = std::string(name)] { run = [&, kind] { return Load(flags, kind); }; });
  }
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = cli.exit(error);
    return code == 0 ? 0 : 2;
  }
  InitLogging(Environment("LOG_LEVEL", "info"), LogFormat::kPlain);
  return Exit(run());
}

}  // namespace
}  // namespace mesh::meshapp

int main(int argc, char** argv) { return mesh::meshapp::Main(argc, argv); }
