// mesh-agent: `node` runs on every node, `controller` once (or more) per mesh.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "agent/controller/controller.h"
#include "agent/node/node.h"
#include "ztunnel/base/log.h"

namespace {

using mesh::controller::ControllerOptions;
using mesh::node::NodeOptions;

struct Durations {
  std::string default_lifetime = "24h";
  std::string max_lifetime = "2160h";
  std::string ca_lifetime = "87600h";
};

bool ParseDuration(const std::string& text, const char* flag, absl::Duration& out) {
  if (absl::ParseDuration(text, &out) && out > absl::ZeroDuration()) return true;
  std::fprintf(stderr, "mesh-agent: --%s: \"%s\" is no duration (90s, 15m, 24h)\n", flag,
               text.c_str());
  return false;
}

CLI::App* AddController(CLI::App& app, ControllerOptions& options, Durations& durations) {
  CLI::App* command =
      app.add_subcommand("controller", "compile objects, serve xDS, sign certificates");
  command
      ->add_option("--source-dir", options.source_directories,
                   "directory of manifests; repeat, later ones are laid over earlier ones")
      ->required();
  command->add_option("--record-dir", options.record_directory,
                      "where the last good objects are kept, for files that break");
  command->add_option("--status-dir", options.status_directory, "where status patches are written");
  command->add_option("--objects-dir", options.objects_directory,
                      "one of the sources, for objects of its own: waypoints and their Services");
  command->add_flag("--auto-waypoints", options.settings.auto_waypoints,
                    "make a waypoint where rules need one; with --objects-dir");
  command
      ->add_option("--selector-policies-at-waypoints",
                   options.settings.selector_policies_at_waypoints,
                   "waypoints enforce AuthorizationPolicies that select workloads")
      ->default_val(true);
  command->add_option("--xds-address", options.xds_address, "IP:PORT of xDS and signing, TLS")
      ->capture_default_str();
  command->add_option("--xds-host", options.xds_hosts, "one more name in the server's certificate");
  command->add_option("--xds-auth", options.authenticate_xds, "require a token of xDS clients")
      ->capture_default_str();
  command->add_option("--http-address", options.http_address, "IP:PORT of /ready /metrics /debug");
  command->add_option("--ca-dir", options.ca_directory, "CA state; made when empty")->required();
  command->add_option("--root-cert-out", options.root_cert_out, "file for the root certificates");
  command->add_option("--token-key", options.token_key_file, "public key (PEM) of node tokens")
      ->required();
  command->add_option("--system-namespace", options.settings.system_namespace)
      ->capture_default_str();
  command->add_option("--root-namespace", options.settings.root_namespace)->capture_default_str();
  command->add_option("--trust-domain", options.settings.trust_domain)->capture_default_str();
  command->add_option("--cluster-id", options.settings.cluster_id)->capture_default_str();
  command->add_option("--cluster-domain", options.settings.cluster_domain)->capture_default_str();
  command
      ->add_flag("--dry-run-policies", options.settings.dry_run_policies,
                 "send policies annotated istio.io/dry-run")
      ->envname("AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY");
  command
      ->add_flag("--auto-allow-waypoint", options.settings.auto_allow_waypoint,
                 "admit waypoints to the workloads behind them by a policy of their own")
      ->envname("PILOT_AUTO_ALLOW_WAYPOINT_POLICY");
  command->add_option("--default-cert-lifetime", durations.default_lifetime)->capture_default_str();
  command->add_option("--max-cert-lifetime", durations.max_lifetime)->capture_default_str();
  command->add_option("--ca-lifetime", durations.ca_lifetime)->capture_default_str();
  return command;
}

CLI::App* AddNode(CLI::App& app, NodeOptions& options) {
  CLI::App* command = app.add_subcommand("node", "capture and enrol the pods of this node");
  command->add_option("--node-name", options.node_name)->required();
  command->add_option("--source-dir", options.source_dirs,
                      "directory of manifests; repeat, later ones are laid over earlier ones");
  command->add_option("--runtime-dir", options.runtime_dir,
                      "the source directory that says where pods' namespaces are");
  command->add_option("--patch-dir", options.patch_dir, "where pod annotations are written");
  command->add_option("--cgroup", options.cgroup, "cgroup v2 directory of this node's pods");
  command->add_option("--ztunnel-cgroup", options.ztunnel_cgroup, "exempt from capture");
  command->add_option("--prober-cgroup", options.prober_cgroup, "whose connections are probes");
  command->add_option("--bpf-dir", options.bpf_dir, "where programs and maps are pinned")
      ->capture_default_str();
  command->add_option("--zds-socket", options.zds_socket, "where ztunnel asks for pods")
      ->capture_default_str();
  command->add_option("--cni-socket", options.cni_socket, "where pods are announced")
      ->capture_default_str();
  command->add_option("--admin-socket", options.admin_socket, "HTTP: /status /healthz /metrics");
  command->add_option("--metrics-address", options.metrics_address, "IP:PORT of /metrics");
  command->add_option("--state-dir", options.state_dir)->capture_default_str();
  command->add_option("--exclude-namespaces", options.exclude_namespaces)
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--root-namespace", options.root_namespace)->capture_default_str();
  command->add_option("--dns-capture", options.dns_capture)->capture_default_str();
  command->add_flag("--services", options.services,
                    "stand in for kube-proxy: pods outside the mesh reach services");
  command->add_flag("--cleanup", options.cleanup, "undo everything and end");
  return command;
}

int Main(int argc, char** argv) {
  CLI::App app{"Culvert's agent"};
  app.require_subcommand(1);
  std::string log_level = "info";
  bool log_json = false;
  app.add_option("--log-level", log_level, "trace debug info warn error, or scope=level,...")
      ->envname("MESH_LOG_LEVEL")
      ->capture_default_str();
  app.add_flag("--log-json", log_json, "one JSON object a line");
  app.fallthrough();
  ControllerOptions controller;
  Durations durations;
  CLI::App* controller_command = AddController(app, controller, durations);
  NodeOptions node;
  CLI::App* node_command = AddNode(app, node);
  CLI::App* version_command = app.add_subcommand("version", "print the version");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  if (version_command->parsed()) {
    std::printf("mesh-agent %s\n", MESH_VERSION);
    return 0;
  }
  mesh::InitLogging(log_level, log_json ? mesh::LogFormat::kJson : mesh::LogFormat::kPlain);
  if (node_command->parsed()) return mesh::node::RunNode(node);
  if (controller_command->parsed()) {
    if (!ParseDuration(durations.default_lifetime, "default-cert-lifetime",
                       controller.default_certificate_lifetime) ||
        !ParseDuration(durations.max_lifetime, "max-cert-lifetime",
                       controller.max_certificate_lifetime) ||
        !ParseDuration(durations.ca_lifetime, "ca-lifetime", controller.ca_lifetime)) {
      return 2;
    }
    return mesh::controller::RunController(controller);
  }
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mesh-agent: %s\n", error.what());
    return 2;
  }
}
