// A Python program that runs in a pod beside the test, step by step. It has `say(word)` and
// `wait(word)`; the test has their other ends.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "tests/support/local_mesh.h"
#include "ztunnel/base/files.h"

namespace mesh::test {

class PodScript {
 public:
  // `name` is unique within the mesh. `arguments` are sys.argv[1:].
  PodScript(const LocalMesh& mesh, std::string_view pod, const std::string& name,
            const std::string& program, std::vector<std::string> arguments = {})
      : path_(mesh.root() + "/script-" + name),
        process_(mesh.ExecWords(pod, Words(path_, program, std::move(arguments)))) {}

  // Whether the program said `word` within `limit`.
  bool Says(const std::string& word, std::chrono::seconds limit = std::chrono::seconds(30)) const {
    return Eventually([&] { return Said().find("\n" + word + "\n") != std::string::npos; }, limit);
  }
  std::string Said() const { return "\n" + ReadFileOr(path_); }
  void Tell(const std::string& word) const { std::ofstream(path_ + "." + word).close(); }
  // Ends it; what it printed, errors included.
  std::string Stop() { return process_.Stop().out; }

 private:
  static std::vector<std::string> Words(const std::string& path, const std::string& program,
                                        std::vector<std::string> arguments) {
    const std::string prelude = "import os, resource, socket, struct, sys, time\npath = '" + path +
                                R"('
def say(word):
    with open(path, 'a') as f: f.write(str(word) + '\n')
def wait(word):
    while not os.path.exists(path + '.' + word): time.sleep(0.02)
)";
    std::vector<std::string> words = {"python3", "-c", prelude + program};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return words;
  }

  std::string path_;
  Background process_;
};

}  // namespace mesh::test
