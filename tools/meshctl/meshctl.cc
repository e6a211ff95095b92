// meshctl: a person's way to the mesh. Met with exceptions: CLI11 throws; they end in main.
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <iostream>

#include "tools/meshctl/completion.h"
#include "tools/meshctl/context.h"
#include "tools/meshctl/dns/name_server.h"
#include "tools/meshctl/local/probes.h"
#include "tools/meshctl/local/runtime.h"
#include "tools/meshctl/output.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::meshctl {
namespace {

// Everything that flags and words are read into.
struct Options {
  std::string mesh = "local", ns, output, timeout = "60s";
  UpOptions up;
  bool no_mesh = false, terminal = false;
  std::string pod, container, kind, name, shell, probe_kind, probe_target, bpf_what = "all";
  std::vector<std::string> files, names, words, command;
  LogsOptions logs;
  ZtunnelOptions ztunnel;
  std::string bpf_node;
  int probe_ms = 1000;
  int code = kOk;
};

Context MakeContext(const Options& o) {
  Context context;
  context.layout.name = o.mesh;
  context.ns = o.ns;
  context.output = o.output == "json"    ? Output::kJson
                   : o.output == "yaml"  ? Output::kYaml
                   : o.output == "wide"  ? Output::kWide
                   : o.output == "short" ? Output::kShort
                                         : Output::kTable;
  return context;
}

void AddLocal(CLI::App& app, Options& o) {
  CLI::App* local =
      app.add_subcommand("local", "A mesh on this machine: nodes and pods as network namespaces");
  local->require_subcommand(1);

  CLI::App* up = local->add_subcommand("up", "Start it; does nothing when it runs");
  up->add_option("--nodes", o.up.nodes,
                 "How many nodes (default: the Node objects of the manifests, else 2)")
      ->check(CLI::Range(1, 100));
  up->add_option("--manifests", o.up.manifest_dirs,
                 "A folder of your own to watch; may be repeated");
  up->add_option("-f,--filename", o.up.files,
                 "A file or folder to apply at the start; may be repeated");
  up->add_option("--bin-dir", o.up.bin_dir,
                 "Where mesh-agent, ztunnel and meshapp are (default: beside meshctl)");
  up->add_flag("--ipv6,!--no-ipv6", o.up.ipv6, "Addresses of both families (default)");
  up->add_flag("--no-mesh", o.no_mesh, "Nodes and pods only: no agent, ztunnel or controller");
  up->add_flag("--wait,!--no-wait", o.up.wait, "Wait until all daemons are ready (default)");
  up->add_option("--timeout", o.timeout, "How long to wait, as 90s or 2m")->capture_default_str();
  up->callback([&o] {
    o.up.mesh = !o.no_mesh;
    if (!absl::ParseDuration(o.timeout, &o.up.timeout))
      throw CLI::ValidationError("--timeout", "\"" + o.timeout + "\" is no duration");
    o.code = Up(MakeContext(o), o.up);
  });

  local->add_subcommand("down", "Remove all of it: processes, kernel programs, namespaces, files")
      ->callback([&o] { o.code = Down(MakeContext(o)); });
  local->add_subcommand("ps", "List the pods")->callback([&o] { o.code = Ps(MakeContext(o)); });

  CLI::App* exec =
      local->add_subcommand("exec", "Run a command inside a pod: exec POD -- COMMAND...");
  exec->add_option("POD", o.pod, "The pod or its workload; also NAMESPACE/NAME and KIND/NAME")
      ->required();
  exec->add_option("-c,--container", o.container, "Whose environment to take (default: the first)");
  exec->add_flag("-i,--stdin,-t,--tty", o.terminal,
                 "Taken as kubectl takes them: the command always has this terminal");
  exec->callback([&o] { o.code = Exec(MakeContext(o), o.pod, o.container, o.command); });

  CLI::App* logs =
      local->add_subcommand("logs", "Show a log: of a pod, ztunnel, agent, controller or runtime");
  logs->add_option("LOG", o.logs.what,
                   "A pod, ztunnel, agent, controller, runtime, or ztunnel-NODE")
      ->required();
  logs->add_flag("-f,--follow", o.logs.follow, "Go on as it grows");
  logs->add_option("--tail", o.logs.tail, "Only the last lines, so many");
  logs->add_option("-c,--container", o.logs.container, "Of a pod (default: the first)");
  logs->add_option("--node", o.logs.node, "Whose ztunnel or agent (default: the first node)");
  logs->callback([&o] { o.code = Logs(MakeContext(o), o.logs); });

  CLI::App* apply = local->add_subcommand("apply", "Check manifests and put them in force");
  apply->add_option("-f,--filename", o.files, "A file, a folder or - ; may be repeated")
      ->required();
  apply->callback([&o] { o.code = Apply(MakeContext(o), o.files); });

  CLI::App* del =
      local->add_subcommand("delete", "Remove objects: delete -f FILE, or delete KIND NAME...");
  del->add_option("-f,--filename", o.files, "A file, a folder or - ; may be repeated");
  del->add_option("KIND", o.kind, "Kind of the objects, or KIND/NAME");
  del->add_option("NAME", o.names, "Their names");
  del->callback([&o] { o.code = Delete(MakeContext(o), o.files, o.kind, o.names); });

  CLI::App* get = local->add_subcommand("get", "Show objects: get KIND [NAME]");
  get->add_option("KIND", o.kind, "Pod, svc, AuthorizationPolicy, ..., or KIND/NAME")->required();
  get->add_option("NAME", o.name, "Only this one");
  get->callback([&o] { o.code = Get(MakeContext(o), o.kind, o.name); });

  CLI::App* run = local->add_subcommand("run", "The program behind `up`, in the foreground");
  run->callback([&o] {
    InitLogging("info", LogFormat::kPlain);
    o.code = local::RunRuntime(MakeContext(o).layout);
  });
  CLI::App* dns = local->add_subcommand("dns", "");
  dns->group("");  // for the runtime alone
  dns->callback([&o] {
    InitLogging("info", LogFormat::kPlain);
    o.code = local::RunNameServer(MakeContext(o).layout);
  });
  CLI::App* probe = local->add_subcommand("probe", "");
  probe->group("");  // for the runtime alone
  probe->add_option("kind", o.probe_kind)->required();
  probe->add_option("target", o.probe_target)->required();
  probe->add_option("timeout_ms", o.probe_ms);
  probe->callback([&o] {
    o.code = local::RunProbe(o.probe_kind, o.probe_target, absl::Milliseconds(o.probe_ms));
  });
}

void AddInspection(CLI::App& app, Options& o) {
  app.add_subcommand(
         "status", "Nodes, daemons, pods in and out of the mesh and why, sync state, certificates")
      ->callback([&o] { o.code = Status(MakeContext(o)); });

  CLI::App* zc = app.add_subcommand("ztunnel-config", "What a node's ztunnel knows and does");
  zc->alias("zc");
  zc->require_subcommand(1);
  const std::pair<const char*, const char*> views[] = {
      {"workloads", "Workloads it knows"},
      {"services", "Services and their endpoints"},
      {"policies", "Authorization policies in force"},
      {"certificates", "Certificates of its pods"},
      {"connections", "Open connections of its pods"},
      {"all", "All of these"},
      {"log", "Show or set log levels"}};
  for (const auto& [what, help] : views) {
    CLI::App* view = zc->add_subcommand(what, help);
    view->add_option("POD", o.ztunnel.workload, "A pod: its node's ztunnel is asked");
    view->add_option("--node", o.ztunnel.node, "The node (default: all; for a log level too)");
    if (std::string(what) != "log")
      view->add_option("--file", o.ztunnel.file, "Read this dump instead");
    if (std::string(what) == "log") {
      view->add_option("--level", o.ztunnel.level, "LEVEL or SCOPE=LEVEL,...");
      view->add_flag("-r,--reset", o.ztunnel.reset, "Back to the levels of the start");
    }
    if (std::string(what) == "connections") {
      view->add_option("--direction", o.ztunnel.direction, "inbound or outbound")
          ->check(CLI::IsMember({"inbound", "outbound"}));
    }
    view->callback([&o, what = std::string(what)] {
      o.ztunnel.what = what;
      o.code = ZtunnelConfig(MakeContext(o), o.ztunnel);
    });
  }

  CLI::App* bpf =
      app.add_subcommand("bpf", "The mesh's programs and maps in the kernel, explained");
  bpf->add_option("WHAT", o.bpf_what, "programs, maps, counters or all")
      ->check(CLI::IsMember({"programs", "maps", "counters", "all"}));
  bpf->add_option("--node", o.bpf_node, "Only this node");
  bpf->callback([&o] { o.code = Bpf(MakeContext(o), o.bpf_what, o.bpf_node); });
}

void AddEverywhere(CLI::App& command) {
  command.fallthrough();
  command.footer("Everywhere: --name MESH, -n NAMESPACE, -o table|wide|short|json|yaml");
}

int WrongUsage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  std::string path = "meshctl";
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    path += " " + at->get_name();
  }
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  if (at->get_require_subcommand_min() > 0) {
    if (unknown.empty()) {
      PrintErr(at->help());
      return kUsage;
    }
    PrintErr("meshctl: no command \"" + unknown.front() + "\"; `" + path + " --help` lists them");
  } else if (at->get_name() == "exec" &&
             error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    PrintErr("meshctl: put \"--\" before the command: " + path + " POD -- COMMAND...");
  } else {
    PrintErr("meshctl: " + std::string(error.what()) + "; see `" + path + " --help`");
  }
  return kUsage;
}

int Main(int argc, char** argv) {
  Options o;
  if (const char* name = std::getenv("MESH_NAME"); name && *name) o.mesh = name;
  // What follows "--" is a command of somebody else's: it is not looked into.
  std::vector<std::string> words(argv + 1, argv + argc);
  const bool completing = !words.empty() && words[0] == "__complete";
  if (const auto dashes = std::find(words.begin(), words.end(), "--");
      !completing && dashes != words.end()) {
    o.command.assign(dashes + 1, words.end());
    words.erase(dashes, words.end());
  }

  CLI::App app("meshctl: start, watch and change a Culvert service mesh", "meshctl");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", "meshctl " MESH_VERSION);
  app.add_option("--name", o.mesh, "The mesh (env MESH_NAME)")->capture_default_str()->take_last();
  app.add_option("-n,--namespace", o.ns, "The namespace (default: all, or where the name is found)")
      ->take_last();
  app.add_option("-o,--output", o.output, "table, wide, short, json or yaml")
      ->check(CLI::IsMember({"table", "wide", "short", "json", "yaml"}))
      ->take_last();
  AddLocal(app, o);
  AddInspection(app, o);
  app.add_subcommand("version", "Show the version")->callback([&o] {
    if (o.output == "json")
      Print("{\"version\": \"" MESH_VERSION "\"}\n");
    else
      Print("meshctl " MESH_VERSION "\n");
  });
  CLI::App* completion = app.add_subcommand("completion", "Print the completion script of a shell");
  completion->add_option("SHELL", o.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&o] { Print(CompletionScript(o.shell)); });
  for (CLI::App* sub : app.get_subcommands({})) {
    AddEverywhere(*sub);
    for (CLI::App* below : sub->get_subcommands({})) AddEverywhere(*below);
  }
  if (completing) {
    words.erase(words.begin());
    Print(Complete(app, words));
    return kOk;
  }
  app.parse_complete_callback([&o] {
    if (const absl::Status status = local::CheckMeshName(o.mesh); !status.ok()) {
      throw CLI::ValidationError("--name", std::string(MessageOf(status)));
    }
  });
  try {
    std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
    app.parse(words);
  } catch (const CLI::CallForHelp& e) {
    app.exit(e);
    return kOk;
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) return WrongUsage(app, e);
    app.exit(e);
    return kOk;
  }
  std::fflush(stdout);
  return o.code;
}

}  // namespace
}  // namespace mesh::meshctl

int main(int argc, char** argv) {
  try {
    return mesh::meshctl::Main(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "meshctl: " << e.what() << "\n";
    return mesh::meshctl::kFailed;
  }
}
