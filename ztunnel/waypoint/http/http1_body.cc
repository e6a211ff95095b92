#include "ztunnel/waypoint/http/http1_body.h"

#include <algorithm>
#include <utility>

#include "ztunnel/waypoint/http/chars.h"
#include "ztunnel/waypoint/http/http1_write.h"

namespace mesh::http {

using Kind = BodyFraming::Kind;

void BodyReader::Start(BodyFraming framing, size_t trailer_bytes) {
  constexpr State kStates[] = {State::kDone, State::kLength, State::kSize, State::kAll};
  state_ = kStates[static_cast<size_t>(framing.kind)];
  left_ = framing.length;
  if (state_ == State::kLength && left_ == 0) state_ = State::kDone;
  limit_ = trailer_bytes;
  extension_bytes_ = trailer_bytes_ = 0;
  lines_.Clear();
  trailers_.Clear();
}

BodyReader::Event BodyReader::Next(std::string_view& in) {
  while (true) {
    if (state_ == State::kDone) return Event::kEnd;
    if (in.empty()) return Event::kMore;
    switch (state_) {
      case State::kAll:
        data_ = std::exchange(in, {});
        return Event::kData;
      case State::kLength:
        return Data(in, State::kDone);
      case State::kChunk:
        return Data(in, State::kChunkEnd);
      default:
        // Between two chunks there is framing to be read that nobody hears of.
        if (const Event event = Line(in); event != Event::kData) return event;
    }
  }
}

BodyReader::Event BodyReader::Data(std::string_view& in, State then) {
  data_ = in.substr(0, std::min<uint64_t>(left_, in.size()));
  in.remove_prefix(data_.size());
  left_ -= data_.size();
  if (left_ == 0) state_ = then;
  return Event::kData;
}

// kData: go on.
BodyReader::Event BodyReader::Line(std::string_view& in) {
  constexpr size_t kSizeLine = 256;  // with its extensions
  const size_t limit = state_ == State::kSize       ? kSizeLine
                       : state_ == State::kChunkEnd ? 2
                                                    : limit_ - trailer_bytes_;
  switch (lines_.Next(in, limit)) {
    case LineReader::Result::kMore:
      return Event::kMore;
    case LineReader::Result::kTooLong:
      return Fail("chunk framing or trailers too long");
    case LineReader::Result::kBareLf:
      return Fail("line without CRLF in a chunked body");
    case LineReader::Result::kLine:
      break;
  }
  if (state_ == State::kSize) return ChunkSize(lines_.line());
  if (state_ == State::kTrailer) return Trailer(lines_.line());
  if (!lines_.line().empty()) return Fail("chunk longer than its size");
  state_ = State::kSize;
  return Event::kData;
}

BodyReader::Event BodyReader::ChunkSize(std::string_view line) {
  size_t digits = 0;
  left_ = 0;
  for (; digits < line.size() && HexValue(line[digits]) >= 0; ++digits) {
    left_ = 16 * left_ + static_cast<uint64_t>(HexValue(line[digits]));
  }
  if (digits == 0 || digits > 15) return Fail("malformed chunk size");
  const std::string_view extension = line.substr(digits);
  if (!extension.empty() && (extension.front() != ';' || !IsFieldValue(extension))) {
    return Fail("malformed chunk extension");
  }
  extension_bytes_ += extension.size();
  if (extension_bytes_ > limit_) return Fail("chunk extensions too long");
  state_ = left_ == 0 ? State::kTrailer : State::kChunk;
  return Event::kData;
}

BodyReader::Event BodyReader::Trailer(std::string_view line) {
  if (line.empty()) {
    state_ = State::kDone;
    return trailers_.empty() ? Event::kEnd : Event::kTrailers;
  }
  trailer_bytes_ += line.size() + 2;
  if (!AddTrailer(line, trailers_)) return Fail("malformed or forbidden trailer");
  return Event::kData;
}

BodyReader::Event BodyReader::Fail(std::string_view detail) {
  detail_ = detail;
  return Event::kError;
}

// ---- The other way

void BodyWriter::Start(BodyFraming framing) { framing_ = framing; }

bool BodyWriter::Write(transport::Transport& transport, std::span<const std::byte> bytes) {
  if (bytes.empty() || framing_.kind == Kind::kNone) return true;  // the answer to HEAD has no body
  if (framing_.kind == Kind::kLength) {
    if (bytes.size() > framing_.length) return false;
    framing_.length -= bytes.size();
  }
  if (framing_.kind != Kind::kChunked) {
    transport.Write(bytes);
    return true;
  }
  constexpr char kHex[] = "0123456789abcdef";
  char line[18];
  char* const end = line + sizeof line;
  char* at = end;
  *--at = '\n';
  *--at = '\r';
  for (size_t size = bytes.size(); size > 0; size >>= 4) *--at = kHex[size & 15];
  transport.Write(std::as_bytes(std::span(at, end)));
  transport.Write(bytes);
  transport.Write(AsBytes("\r\n"));
  return true;
}

bool BodyWriter::End(transport::Transport& transport, const HeaderMap* trailers) {
  if (framing_.kind == Kind::kLength) return framing_.length == 0;
  if (framing_.kind != Kind::kChunked) return true;
  if (trailers == nullptr || trailers->empty()) {
    transport.Write(AsBytes("0\r\n\r\n"));
    return true;
  }
  std::string text = "0\r\n";
  if (!AppendFields(*trailers, text)) return false;
  text.append("\r\n");
  transport.Write(AsBytes(text));
  return true;
}

}  // namespace mesh::http
