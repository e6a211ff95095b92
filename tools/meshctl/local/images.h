// What runs in the place of a container image: this machine has no images, so a table says which
// program stands for which. The first entry whose pattern matches the image's name without tag and
// digest wins; ROOT/images.yaml comes before the built-in entries.
//
//   images:
//   - image: docker.io/istio/examples-bookinfo-reviews-*   # '*' is any text; a registry may be
//   left out
//     command: [meshapp, bookinfo, reviews, "$1"]          # $1: what the first '*' stood for
//     args: []                                             # replaced by the container's own args
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/meshctl/json.h"

namespace mesh::local {

class ImageTable {
 public:
  ImageTable();  // the built-in entries
  // Entries of `text` before the built-in ones. An error leaves the table as it was.
  absl::Status Load(std::string_view text);

  // The whole command line of a container: its own command and args, or what stands for its image.
  absl::StatusOr<std::vector<std::string>> CommandOf(const meshctl::Json& container) const;

 private:
  struct Entry {
    std::string image;
    std::vector<std::string> command, args;
  };
  std::vector<Entry> entries_;
  size_t loaded_ = 0;  // how many of them are of Load()
};

// The texts that each '*' of `pattern` stood for, when all of `text` matches.
std::optional<std::vector<std::string>> MatchGlob(std::string_view pattern, std::string_view text);
// "docker.io/istio/app:1.2@sha256:..." -> "docker.io/istio/app"
std::string_view ImageName(std::string_view image);

}  // namespace mesh::local
