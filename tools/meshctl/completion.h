// Shell completion: the scripts ask `meshctl __complete WORDS...`, which knows the commands and the
// mesh.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace mesh::meshctl {

std::string CompletionScript(const std::string& shell);
// Candidates for what comes after `words`, one a line; the shell picks those that fit.
std::string Complete(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace mesh::meshctl
