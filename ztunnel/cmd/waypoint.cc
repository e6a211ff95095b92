// waypoint: the L7 proxy. All settings come from the environment (cmd/settings.h).
#include <signal.h>

#include <cstdio>
#include <string_view>
#include <thread>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/cmd/process.h"
#include "ztunnel/cmd/settings.h"
#include "ztunnel/cmd/waypoint_proxy.h"

namespace mesh::cmd {
namespace {

constexpr char kUsage[] =
    "usage: waypoint            run the L7 proxy; settings come from the environment\n"
    "       waypoint version    print the version\n";

int RunWaypoint() {
  const Environment environment = CurrentEnvironment();
  const int cpus = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  auto settings = Settings::FromEnvironment(environment, cpus);
  if (settings.ok()) {
    if (absl::Status status = WaypointProxy::Check(*settings, environment); !status.ok()) {
      settings = std::move(status);
    }
  }
  if (!settings.ok()) {
    std::fprintf(stderr, "waypoint: %s\n", std::string(MessageOf(settings.status())).c_str());
    return 2;
  }
  InitLogging(settings->log_level, settings->log_format);
  ::signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
  telemetry::MetricsRegistry registry;
  telemetry::AccessLog access_log(registry);  // ends last, when all is written
  WaypointProxy proxy(*settings, environment, registry, access_log);
  access_log.Start(settings->log_format, settings->tunnel.cluster_id);
  const absl::Status status = proxy.Run();
  if (!status.ok()) Logger("app")->error("waypoint cannot run err={}", Quoted(Describe(status)));
  return status.ok() ? 0 : 1;
}

int Main(int argc, char** argv) {
  if (argc == 1) return RunWaypoint();
  const std::string_view command = argv[1];
  if (command == "version") {
    std::printf("waypoint %s\n", MESH_VERSION);
    return 0;
  }
  const bool help = command == "--help" || command == "help";
  std::fputs(kUsage, help ? stdout : stderr);
  return help ? 0 : 2;
}

}  // namespace
}  // namespace mesh::cmd

int main(int argc, char** argv) { return mesh::cmd::Main(argc, argv); }
