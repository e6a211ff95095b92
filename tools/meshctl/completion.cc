// Met with exceptions for CLI11's header alone; only its getters are called.
#include "tools/meshctl/completion.h"

#include <CLI/CLI.hpp>

#include <cstdlib>

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

// Names from the mesh that the words so far speak of.
std::string Names(const std::vector<std::string>& words, const std::string& kind) {
  const char* env = std::getenv("MESH_NAME");
  local::Layout layout{env && *env ? env : "local"};
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "--name") layout.name = words[i + 1];
  }
  auto config = local::Config::Load(layout);
  if (!config.ok()) return "";
  local::ObjectStore store(config->SourceDirs(layout));
  store.Reload();
  std::string out;
  for (const local::Json* object : store.OfKind(kind))
    out += object->Get({"metadata", "name"}).Str() + "\n";
  return out;
}

}  // namespace

std::string CompletionScript(const std::string& shell) {
  return shell == "zsh" ? kZsh : shell == "fish" ? kFish : kBash;
}

std::string Complete(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* at = &app;
  std::vector<std::string> positionals;
  for (const std::string& word : words) {
    const CLI::App* below = nullptr;
    for (const CLI::App* sub : at->get_subcommands([](const CLI::App*) { return true; })) {
      if (sub->get_name() == word) below = sub;
    }
    if (below)
      at = below;
    else if (!word.starts_with("-"))
      positionals.push_back(word);
  }
  std::string out;
  for (const CLI::App* sub : at->get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_group().empty()) out += sub->get_name() + "\n";
  }
  for (const CLI::App* level = at; level; level = level->get_parent()) {
    for (const CLI::Option* option : level->get_options()) {
      for (const std::string& name : option->get_lnames()) out += "--" + name + "\n";
    }
  }
  const std::string command = at->get_name();
  if (command == "exec" || command == "logs") out += Names(words, "Pod");
  if (command == "logs") out += "ztunnel\nagent\ncontroller\nruntime\n";
  if (command == "get" || command == "delete") {
    if (positionals.empty())
      out +=
          "Pod\nService\nDeployment\nStatefulSet\nNamespace\nAuthorizationPolicy\nPeerAuthenticatio"
          "n\n";
    else
      out += Names(words, local::CanonicalKind(positionals.back()));
  }
  return out;
}

}  // namespace mesh::meshctl
