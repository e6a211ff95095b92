#include "ztunnel/waypoint/http/path.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "ztunnel/waypoint/http/chars.h"

namespace mesh::http {
namespace {

// What a byte of a path means to the loop below.
enum class Kind : uint8_t { kPlain, kSlash, kDot, kEscape, kBackslash, kToEscape, kBad };

constexpr std::array<Kind, 256> kKinds = [] {
  std::array<Kind, 256> kinds{};
  for (int c = 0; c <= 0x20; ++c) kinds[c] = Kind::kBad;
  for (int c = 0x80; c <= 0xff; ++c) kinds[c] = Kind::kToEscape;
  for (const char c : std::string_view("\"<>^`{|}")) {
    kinds[static_cast<uint8_t>(c)] = Kind::kToEscape;
  }
  kinds[0x7f] = kinds['#'] = Kind::kBad;
  kinds['/'] = Kind::kSlash;
  kinds['.'] = Kind::kDot;
  kinds['%'] = Kind::kEscape;
  kinds['\\'] = Kind::kBackslash;
  return kinds;
}();

Kind KindOf(char c) { return kKinds[static_cast<uint8_t>(c)]; }

bool IsUnreserved(char c) {
  const char lower = LowerAscii(c);
  return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

// Whether nothing of `path` would change. Most paths are so, and then nothing is copied.
bool IsNormal(std::string_view path, bool merge) {
  char before = 0;
  for (const char c : path) {
    switch (KindOf(c)) {
      case Kind::kPlain:
        break;
      case Kind::kSlash:
        if (merge && before == '/') return false;
        break;
      case Kind::kDot:
        if (before == '/') return false;
        break;
      default:
        return false;
    }
    before = c;
  }
  return true;
}

bool HasBadByte(std::string_view text) {
  bool bad = false;
  for (const char c : text) bad |= static_cast<uint8_t>(c) <= 0x20 || c == 0x7f || c == '#';
  return bad;
}

// A path as it is put together: segments without dots, each behind its slash.
class Segments {
 public:
  void Push(char c) { out_.push_back(c); }
  void PushEscaped(char c) {
    constexpr char kHex[] = "0123456789ABCDEF";
    const auto byte = static_cast<uint8_t>(c);
    out_.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
  void Slash() {
    if (!DropDots()) out_.push_back('/');
    begin_ = out_.size();
  }
  std::string Finish(bool merge) {
    DropDots();
    if (merge) {
      const auto both = [](char a, char b) { return a == '/' && b == '/'; };
      out_.erase(std::unique(out_.begin(), out_.end(), both), out_.end());
    }
    return std::move(out_);
  }

 private:
  // Whether the last segment was "." or "..", which end with the slash before them.
  bool DropDots() {
    const std::string_view segment = std::string_view(out_).substr(begin_);
    const bool up = segment == "..";
    if (!up && segment != ".") return false;
    out_.resize(begin_);
    if (up && begin_ > 1) out_.resize(out_.rfind('/', begin_ - 2) + 1);
    begin_ = out_.size();
    return true;
  }

  std::string out_ = "/";
  size_t begin_ = 1;  // of the last segment
};

}  // namespace

bool NormalizePath(PathNormalization how, std::string& path) {
  if (how == PathNormalization::kNone || path.empty() || path == "*") return true;
  if (path.front() != '/' || HasBadByte(path)) return false;
  const size_t end = std::min(path.find('?'), path.size());
  const std::string_view target = std::string_view(path).substr(0, end);
  const bool merge = how != PathNormalization::kBase;
  if (IsNormal(target, merge)) return true;

  Segments segments;
  for (size_t i = 1; i < target.size(); ++i) {
    const char c = target[i];
    switch (KindOf(c)) {
      case Kind::kPlain:
      case Kind::kDot:
        segments.Push(c);
        break;
      case Kind::kSlash:
      case Kind::kBackslash:
        segments.Slash();
        break;
      case Kind::kToEscape:
        segments.PushEscaped(c);
        break;
      case Kind::kBad:
        return false;
      case Kind::kEscape: {
        if (i + 2 >= target.size()) return false;
        const int high = HexValue(target[i + 1]);
        const int low = HexValue(target[i + 2]);
        if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
        const char value = static_cast<char>(16 * high + low);
        if (IsUnreserved(value)) {
          segments.Push(value);
        } else if (how == PathNormalization::kDecodeAndMergeSlashes &&
                   (value == '/' || value == '\\')) {
          segments.Slash();
        } else {
          for (const char written : target.substr(i, 3)) segments.Push(written);
        }
        i += 2;
      }
    }
  }
  path = segments.Finish(merge).append(path, end);
  return true;
}

}  // namespace mesh::http
