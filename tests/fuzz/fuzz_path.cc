// A path, behind a byte that says how it is normalised: twice is as once, and no way up is left.
#include <cstdint>
#include <string>
#include <string_view>

#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/http/path.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using mesh::http::NormalizePath;
  using mesh::http::PathNormalization;
  if (size < 1) return 0;
  const auto how = static_cast<PathNormalization>(data[0] & 3);
  std::string path(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string before = path;
  if (!NormalizePath(how, path)) {
    MESH_CHECK(path == before, "a refused path is as it was");
    return 0;
  }
  std::string twice = path;
  MESH_CHECK(NormalizePath(how, twice) && twice == path, "twice is as once");
  if (how == PathNormalization::kNone || path.empty() || path == "*") return 0;

  MESH_CHECK(path.front() == '/', "from the root");
  std::string target = path.substr(0, path.find('?')) + "/";
  for (const std::string_view never : {"/./", "/../", "\\", "%2e", "%2E", "%00", "#"}) {
    MESH_CHECK(target.find(never) == std::string::npos, "no other spelling is left");
  }
  if (how == PathNormalization::kBase) return 0;
  MESH_CHECK(target.substr(0, target.size() - 1).find("//") == std::string::npos, "merged");
  if (how == PathNormalization::kMergeSlashes) return 0;
  for (const std::string_view never : {"%2f", "%2F", "%5c", "%5C"}) {
    MESH_CHECK(target.find(never) == std::string::npos, "decoded");
  }
  return 0;
}
