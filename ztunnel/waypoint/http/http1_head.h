// Heads of HTTP/1 messages out of bytes: RFC 9112, and where it lets a reader be lenient, not.
//
// Plain state machines without I/O: Read takes bytes until the head is complete or wrong, then its
// parts are taken out and Clear makes the reader ready for the next. Errors are final.
#pragma once

#include <cstdint>
#include <string_view>

#include "ztunnel/waypoint/http/http1_fields.h"
#include "ztunnel/waypoint/http/line_reader.h"
#include "ztunnel/waypoint/http/message.h"
#include "ztunnel/waypoint/http/stream.h"

namespace mesh::http {

// Where the body of a message ends.
struct BodyFraming {
  enum class Kind : uint8_t { kNone, kLength, kChunked, kUntilClose };
  Kind kind = Kind::kNone;
  uint64_t length = 0;  // of kLength
};

class HeadReader {
 public:
  enum class Result : uint8_t { kMore, kDone, kError };

  explicit HeadReader(const Limits& limits) : limits_(limits) {}
  virtual ~HeadReader() = default;

  // Takes bytes of the head from the front of `in`, none behind it.
  Result Read(std::string_view& in);
  // Whether any byte has been read since Clear.
  bool Started() const { return started_; }
  const HeadError& error() const { return error_; }
  const ConnectionFields& connection() const { return fields_.connection; }
  // May another message follow on the connection, as far as this one says.
  bool Persistent() const;
  void Clear();

 protected:
  virtual HeadError StartLine(std::string_view line) = 0;
  virtual HeadError Fields() = 0;  // all have come
  virtual bool MayBeginWithEmptyLine() const = 0;

  FieldParser fields_;
  Version version_ = Version::kHttp11;

 private:
  HeadError Line(std::string_view line);
  HeadError TooLong() const;

  const Limits limits_;
  LineReader lines_;
  HeadError error_;
  bool started_ = false;
  bool has_start_line_ = false;
  bool skipped_line_ = false;
  bool complete_ = false;
  size_t field_bytes_ = 0;
  size_t field_lines_ = 0;
  size_t expected_bytes_ = 512;  // of the fields, after the last head
  size_t expected_fields_ = 16;
};

class RequestReader final : public HeadReader {
 public:
  using HeadReader::HeadReader;

  // After kDone, once. `upgrade` is set only when the request has no body and is not HTTP/1.0.
  RequestHead TakeHead();
  BodyFraming Framing() const;

 private:
  HeadError StartLine(std::string_view line) override;
  HeadError Fields() override;
  bool MayBeginWithEmptyLine() const override { return true; }
  HeadError Target(std::string_view target);
  HeadError AbsoluteTarget(std::string_view target);

  RequestHead head_;
};

class ResponseReader final : public HeadReader {
 public:
  using HeadReader::HeadReader;

  ResponseHead TakeHead();  // after kDone, once
  uint16_t status() const { return head_.status; }
  // `to_head`: the request was HEAD.
  BodyFraming Framing(bool to_head) const;

 private:
  HeadError StartLine(std::string_view line) override;
  HeadError Fields() override;
  bool MayBeginWithEmptyLine() const override { return false; }

  ResponseHead head_;
};

}  // namespace mesh::http
