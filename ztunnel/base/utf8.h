// Whether text is well-formed UTF-8 (RFC 3629), for text that goes on to readers who insist on it:
// metrics, JSON, Protobuf. Stateless, any thread.
#pragma once

#include <cstddef>
#include <string_view>

namespace mesh {

// Bytes of the character at the front of `text`; 0 when it is none, or when there is no text.
size_t Utf8Length(std::string_view text);
bool IsUtf8(std::string_view text);

inline constexpr std::string_view kUtf8Replacement = "\xef\xbf\xbd";  // U+FFFD

// Calls fn(piece) for each character, with kUtf8Replacement for each byte that belongs to none.
template <typename Fn>
void ForEachUtf8(std::string_view text, Fn fn) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    fn(length == 0 ? kUtf8Replacement : text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

}  // namespace mesh
