#include "ztunnel/base/cgroup2.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "ztunnel/base/status.h"

namespace mesh {
namespace {

// Mount points escape blanks and backslashes as three octal digits (proc(5)).
std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<CgroupMount> ParseCgroup2(std::string_view mountinfo) {
  std::istringstream lines{std::string(mountinfo)};
  for (std::string line; std::getline(lines, line);) {
    // 36 35 98:0 ROOT MOUNTPOINT options [optional]... - TYPE source super-options
    std::istringstream words(line);
    const std::vector<std::string> w{std::istream_iterator<std::string>(words), {}};
    const auto dash = std::find(w.begin(), w.end(), "-");
    if (w.size() < 7 || dash == w.end() || dash + 1 == w.end() || *(dash + 1) != "cgroup2")
      continue;
    return CgroupMount{.path = Unescape(w[4]), .root = Unescape(w[3])};
  }
  return NotFound("no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup");
}

absl::StatusOr<CgroupMount> FindCgroup2() {
  std::ifstream file("/proc/self/mountinfo");
  return ParseCgroup2(std::string(std::istreambuf_iterator<char>(file), {}));
}

}  // namespace mesh
