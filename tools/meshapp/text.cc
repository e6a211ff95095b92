#include "tools/meshapp/text.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

namespace mesh::meshapp {
namespace {

// The leading number of `text` and what follows it; nullopt when there is none or it is negative.
std::optional<std::pair<double, std::string_view>> Number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !(value >= 0) || value > 1e15) return std::nullopt;
  return std::pair(value, text.substr(end - text.data()));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string PercentDecoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
               HexDigit(text[i + 2]) >= 0) {
      out += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  out += '"';
  return out;
}

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  const auto number = Number(text);
  if (!number) return std::nullopt;
  double factor = 0;
  if (number->second.empty() || number->second == "ms") factor = 1;
  if (number->second == "s") factor = 1000;
  if (number->second == "m") factor = 60'000;
  if (number->second == "us") factor = 0.001;
  if (factor == 0 || number->first * factor > 86'400'000) return std::nullopt;
  return std::chrono::milliseconds(static_cast<int64_t>(number->first * factor));
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  const auto number = Number(text);
  if (!number) return std::nullopt;
  uint64_t factor = 0;
  if (number->second.empty()) factor = 1;
  if (number->second == "k" || number->second == "K") factor = 1 << 10;
  if (number->second == "M") factor = 1 << 20;
  if (number->second == "G") factor = 1 << 30;
  if (factor == 0 || number->first * factor > 1e15) return std::nullopt;
  return static_cast<uint64_t>(number->first * factor);
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> ParseFraction(std::string_view text) {
  const auto number = Number(text);
  if (!number || !(number->second.empty() || number->second == "%")) return std::nullopt;
  const double value = number->second.empty() ? number->first : number->first / 100;
  if (value > 1) return std::nullopt;
  return value;
}

std::optional<std::string> QueryValue(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) == key) {
      return equals == std::string_view::npos ? "" : PercentDecoded(pair.substr(equals + 1));
    }
    if (end == std::string_view::npos) break;
    query.remove_prefix(end + 1);
  }
  return std::nullopt;
}

std::optional<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  const auto number = ParseNumber(port);
  if (host.empty() || !number || *number == 0 || *number > 65535) return std::nullopt;
  return HostPort{std::string(host), std::string(port)};
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    if (end != 0) parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace mesh::meshapp
