#include "ztunnel/waypoint/http/line_reader.h"

#include <algorithm>
#include <cstring>

namespace mesh::http {

LineReader::Result LineReader::Next(std::string_view& in, size_t limit) {
  if (complete_) Clear();
  const size_t room = limit - std::min(limit, partial_.size());
  const size_t looked = std::min(in.size(), room);
  const void* lf = looked == 0 ? nullptr : std::memchr(in.data(), '\n', looked);
  if (lf == nullptr) {
    if (in.size() >= room) return Result::kTooLong;
    partial_.append(in);
    in = {};
    return Result::kMore;
  }
  const size_t size = static_cast<size_t>(static_cast<const char*>(lf) - in.data()) + 1;
  std::string_view whole = in.substr(0, size);
  in.remove_prefix(size);
  if (!partial_.empty()) {
    partial_.append(whole);
    whole = partial_;
    complete_ = true;
  }
  if (whole.size() < 2 || whole[whole.size() - 2] != '\r') return Result::kBareLf;
  line_ = whole.substr(0, whole.size() - 2);
  return Result::kLine;
}

void LineReader::Clear() {
  // An idle connection holds no memory for a line that was long.
  if (partial_.capacity() > 256) partial_ = std::string();
  partial_.clear();
  complete_ = false;
}

}  // namespace mesh::http
