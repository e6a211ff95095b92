// Met with exceptions for CLI11's header alone; only its getters are called.
#include "tools/meshctl/completion.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "tools/meshctl/local/files.h"
#include "tools/meshctl/local/layout.h"
#include "tools/meshctl/local/store.h"

namespace mesh::meshctl {
namespace {

constexpr const char* kBash = R"~(_meshctl() {
  local words
  words=$(meshctl __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _meshctl meshctl
)~";
constexpr const char* kZsh = R"~(#compdef meshctl
_meshctl() {
  local -a candidates
  candidates=(${(f)"$(meshctl __complete "${(@)words[2,CURRENT-1]}" 2>/dev/null)"})
  compadd -a candidates
}
compdef _meshctl meshctl
)~";
constexpr const char* kFish = R"~(function __meshctl_complete
  set -l words (commandline -opc)
  meshctl __complete $words[2..-1] 2>/dev/null
end
complete -c meshctl -f -a '(__meshctl_complete)'
)~";

using Candidates = std::vector<std::string>;

// What the words so far say.
struct Said {
  const CLI::App* command = nullptr;
  std::vector<std::string> positionals;
  std::string mesh, ns;
  const CLI::Option* open = nullptr;  // its value comes next
};

const CLI::Option* FindOption(const CLI::App* command, const std::string& word) {
  for (; command; command = command->get_parent()) {
    for (const CLI::Option* option : command->get_options()) {
      if (option->check_name(word)) return option;
    }
  }
  return nullptr;
}

Said Read(const CLI::App& app, const std::vector<std::string>& words) {
  Said said;
  said.command = &app;
  const char* env = std::getenv("MESH_NAME");
  said.mesh = env && *env ? env : "local";
  for (const std::string& word : words) {
    if (said.open) {
      if (said.open->check_lname("name")) said.mesh = word;
      if (said.open->check_lname("namespace")) said.ns = word;
      said.open = nullptr;
      continue;
    }
    if (word.starts_with("-")) {
      const CLI::Option* option = FindOption(said.command, word);
      if (option && option->get_items_expected_min() > 0) said.open = option;
      continue;
    }
    const CLI::App* below = nullptr;
    for (const CLI::App* sub : said.command->get_subcommands([](const CLI::App*) { return true; }))
      if (sub->check_name(word)) below = sub;
    if (below)
      said.command = below;
    else
      said.positionals.push_back(word);
  }
  return said;
}

// Names of the mesh's objects of a kind.
Candidates Names(const Said& said, const std::string& kind) {
  const local::Layout layout{said.mesh};
  auto config = local::Config::Load(layout);
  if (!config.ok()) return {};
  local::ObjectStore store(config->SourceDirs(layout));
  store.Reload();
  Candidates names;
  for (const local::Json* object : store.OfKind(kind)) {
    if (said.ns.empty() || local::IsClusterScoped(kind) ||
        object->Get({"metadata", "namespace"}).Str() == said.ns)
      names.push_back(object->Get({"metadata", "name"}).Str());
  }
  return names;
}

Candidates ValuesOf(const Said& said) {
  if (said.open->check_lname("namespace")) return Names(said, "Namespace");
  if (said.open->check_lname("node")) return Names(said, "Node");
  if (said.open->check_lname("output")) return {"table", "wide", "short", "json", "yaml"};
  if (said.open->check_lname("direction")) return {"inbound", "outbound"};
  if (said.open->check_lname("name")) return local::ListDir(local::Layout::kRoot);
  return {};  // the shell offers files
}

Candidates Positionals(const Said& said) {
  const std::string command = said.command->get_name();
  const bool first = said.positionals.empty();
  const CLI::App* parent = said.command->get_parent();
  if (first && (command == "exec" || (parent && parent->get_name() == "ztunnel-config")))
    return Names(said, "Pod");
  if (first && command == "completion") return {"bash", "zsh", "fish"};
  if (first && command == "bpf") return {"programs", "maps", "counters", "all"};
  if (first && command == "logs") {
    Candidates logs = Names(said, "Pod");
    logs.insert(logs.end(), {"ztunnel", "agent", "controller", "runtime"});
    return logs;
  }
  if (command != "get" && command != "delete") return {};
  if (!first) return Names(said, local::CanonicalKind(said.positionals.front()));
  const auto kinds = local::KnownKinds();
  return {kinds.begin(), kinds.end()};
}

}  // namespace

std::string CompletionScript(const std::string& shell) {
  return shell == "zsh" ? kZsh : shell == "fish" ? kFish : kBash;
}

std::string Complete(const CLI::App& app, const std::vector<std::string>& words) {
  std::set<std::string> out;
  if (std::find(words.begin(), words.end(), "--") != words.end()) return "";
  const Said said = Read(app, words);
  if (said.open) {
    for (std::string& value : ValuesOf(said)) out.insert(std::move(value));
  } else {
    for (const CLI::App* sub : said.command->get_subcommands([](const CLI::App*) { return true; }))
      if (!sub->get_group().empty()) out.insert(sub->get_name());
    for (std::string& name : Positionals(said)) out.insert(std::move(name));
    for (const CLI::App* level = said.command; level; level = level->get_parent()) {
      for (const CLI::Option* option : level->get_options())
        for (const std::string& name : option->get_lnames()) out.insert("--" + name);
    }
  }
  std::string text;
  for (const std::string& candidate : out) text += candidate + "\n";
  return text;
}

}  // namespace mesh::meshctl
