// ztunnel: the node proxy. All settings come from the environment (cmd/settings.h).
#include <signal.h>

#include <cstdio>
#include <string_view>
#include <thread>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/cmd/process.h"
#include "ztunnel/cmd/proxy.h"
#include "ztunnel/cmd/settings.h"
#include "ztunnel/core/telemetry/access_log.h"
#include "ztunnel/core/telemetry/registry.h"

namespace mesh::cmd {
namespace {

constexpr char kUsage[] =
    "usage: ztunnel            run the node proxy; settings come from the environment\n"
    "       ztunnel version    print the version\n";

absl::StatusOr<Environment> ReadEnvironment() {
  ASSIGN_OR_RETURN(const auto mesh_config, ReadMeshConfig(kMeshConfigFile));
  return WithProxyConfig(CurrentEnvironment(), mesh_config);
}

int RunProxy() {
  const absl::StatusOr<Environment> environment = ReadEnvironment();
  const int cpus = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  absl::StatusOr<Settings> settings =
      environment.ok() ? Settings::FromEnvironment(*environment, cpus) : environment.status();
  if (!settings.ok()) {
    std::fprintf(stderr, "ztunnel: %s\n", std::string(MessageOf(settings.status())).c_str());
    return 2;
  }
  InitLogging(settings->log_level, settings->log_format);
  ::signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
  // Threads inherit what is left, so this comes before the first one.
  if (const absl::Status status = DropCapabilities(); !status.ok()) {
    Logger("app")->error("capabilities err={}", Quoted(Describe(status)));
    return 1;
  }
  telemetry::MetricsRegistry registry;
  telemetry::AccessLog access_log(registry);  // ends last, when all is written
  Proxy proxy(*settings, *environment, registry, access_log);
  access_log.Start(settings->log_format, settings->tunnel.cluster_id);
  const absl::Status status = proxy.Run();
  if (!status.ok()) Logger("app")->error("ztunnel cannot run err={}", Quoted(Describe(status)));
  return status.ok() ? 0 : 1;
}

int Main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "proxy";
  if (command == "version") {
    std::printf("ztunnel %s\n", MESH_VERSION);
    return 0;
  }
  if (command == "proxy")
    return RunProxy();  // with whatever name follows, as Istio's chart says it
  std::fputs(kUsage, command == "--help" || command == "help" ? stdout : stderr);
  return command == "--help" || command == "help" ? 0 : 2;
}

}  // namespace
}  // namespace mesh::cmd

int main(int argc, char** argv) { return mesh::cmd::Main(argc, argv); }
