// The lines of an HTTP/1 head, or of a chunked body's framing, in whatever pieces they come.
//
// A line ends in CRLF and nothing else. Only a line that comes in several pieces is copied.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mesh::http {

class LineReader {
 public:
  enum class Result : uint8_t { kLine, kMore, kTooLong, kBareLf };

  // Takes the rest of a line from the front of `in`. `limit` counts its CRLF, too.
  Result Next(std::string_view& in, size_t limit);
  // The line without CRLF, after kLine and until the next call.
  std::string_view line() const { return line_; }
  // Whether a line has begun and not ended.
  bool Partial() const { return !partial_.empty() && !complete_; }
  void Clear();

 private:
  std::string_view line_;
  std::string partial_;
  bool complete_ = false;  // line_ is in partial_
};

}  // namespace mesh::http
