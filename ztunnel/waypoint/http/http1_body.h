// Bodies of HTTP/1 messages: out of bytes, strictly, and into a transport.
//
// Plain state machines; the reader does no I/O. After kEnd, kTrailers or kError both are done.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ztunnel/waypoint/http/header_map.h"
#include "ztunnel/waypoint/http/http1_head.h"
#include "ztunnel/waypoint/http/line_reader.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::http {

class BodyReader {
 public:
  enum class Event : uint8_t { kMore, kData, kEnd, kTrailers, kError };

  void Start(BodyFraming framing, size_t trailer_bytes);
  // The next thing in `in`, whose bytes are taken. A body without bytes ends without any.
  Event Next(std::string_view& in);
  std::string_view data() const { return data_; }            // of kData
  HeaderMap TakeTrailers() { return std::move(trailers_); }  // of kTrailers
  std::string_view detail() const { return detail_; }        // of kError
  bool EndsWithConnection() const { return state_ == State::kAll; }
  bool Done() const { return state_ == State::kDone; }
  // Bytes that are known to come still; a chunked body shows the present chunk's.
  uint64_t Left() const { return Done() ? 0 : left_; }

 private:
  enum class State : uint8_t { kDone, kLength, kAll, kSize, kChunk, kChunkEnd, kTrailer };
  Event Data(std::string_view& in, State then);
  Event Line(std::string_view& in);
  Event ChunkSize(std::string_view line);
  Event Trailer(std::string_view line);
  Event Fail(std::string_view detail);

  State state_ = State::kDone;
  uint64_t left_ = 0;           // of the body or the chunk
  size_t extension_bytes_ = 0;  // of chunks: counted with the trailers' limit
  size_t trailer_bytes_ = 0;
  size_t limit_ = 0;
  std::string_view data_;
  std::string_view detail_;
  LineReader lines_;
  HeaderMap trailers_;
};

class BodyWriter {
 public:
  void Start(BodyFraming framing);
  // False, and nothing is written, when the body has a length and this goes beyond it.
  bool Write(transport::Transport& transport, std::span<const std::byte> bytes);
  // False when the body has a length and it is not reached. Trailers travel in chunked bodies only.
  bool End(transport::Transport& transport, const HeaderMap* trailers);
  BodyFraming::Kind kind() const { return framing_.kind; }

 private:
  BodyFraming framing_;
};

}  // namespace mesh::http
