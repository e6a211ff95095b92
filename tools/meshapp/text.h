// Small text helpers of the sample: JSON strings, durations, sizes, query strings, host:port.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::meshapp {

// With quotes; control bytes and bytes that are not ASCII come out as \u00XX, so that any foreign
// bytes make valid JSON.
std::string JsonString(std::string_view text);

std::optional<std::chrono::milliseconds> ParseDuration(
    std::string_view text);                                // 200ms 1.5s 3m, bare: ms
std::optional<uint64_t> ParseSize(std::string_view text);  // 100 16k 1M 2G (powers of 1024)
std::optional<uint64_t> ParseNumber(std::string_view text);
std::optional<double> ParseFraction(std::string_view text);  // 0.3 or 30%; 0 to 1

// The value of `key` in "a=1&b=2", percent-decoded; nullopt when absent.
std::optional<std::string> QueryValue(std::string_view query, std::string_view key);

struct HostPort {
  std::string host;
  std::string port;
};
// "name:80", "1.2.3.4:80", "[::1]:80".
std::optional<HostPort> ParseHostPort(std::string_view text);

std::vector<std::string> Split(std::string_view text, char separator);  // empty parts are left out
std::string Lower(std::string_view text);

}  // namespace mesh::meshapp
