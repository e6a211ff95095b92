// What every command gets, and the commands themselves. Each returns the exit code: 0 done, 1
// failed, 2 wrong usage, 3 the mesh does not run.
#pragma once

#include <absl/time/time.h>

#include <string>
#include <vector>

#include "tools/meshctl/local/layout.h"

namespace mesh::meshctl {

constexpr int kOk = 0, kFailed = 1, kUsage = 2, kNotRunning = 3;

enum class Output { kTable, kWide, kShort, kJson, kYaml };

struct Context {
  local::Layout layout{"local"};
  std::string ns;  // empty: not given
  Output output = Output::kTable;

  bool structured() const { return output == Output::kJson || output == Output::kYaml; }
  // The mesh's configuration, or an explanation on stderr and nothing.
  bool Load(local::Config& config) const;
};

struct UpOptions {
  int nodes = 0;  // 0: what the manifests name, else 2
  std::vector<std::string> manifest_dirs, files;
  std::string bin_dir;
  bool ipv6 = true, mesh = true, wait = true;
  absl::Duration timeout = absl::Seconds(60);
};
int Up(const Context& context, const UpOptions& options);
int Down(const Context& context);

int Ps(const Context& context);
int Exec(const Context& context, const std::string& pod, const std::string& container,
         const std::vector<std::string>& argv);
struct LogsOptions {
  std::string what, container, node;
  bool follow = false;
  int tail = -1;  // lines; -1: all
};
int Logs(const Context& context, const LogsOptions& options);

int Apply(const Context& context, const std::vector<std::string>& files);
// `kind` may be KIND/NAME.
int Delete(const Context& context, const std::vector<std::string>& files, std::string kind,
           std::vector<std::string> names);
int Get(const Context& context, std::string kind, std::string name);

int Status(const Context& context);
struct ZtunnelOptions {
  std::string what, node, workload, file, level, direction;
  bool reset = false;
};
int ZtunnelConfig(const Context& context, const ZtunnelOptions& options);
int Bpf(const Context& context, const std::string& what, const std::string& node);

// Prints a value as -o says (JSON unless YAML).
void PrintValue(const Context& context, const class Json& value);

}  // namespace mesh::meshctl
