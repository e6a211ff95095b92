#include "tools/meshctl/output.h"

#include <absl/time/time.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace mesh::meshctl {
namespace {

size_t Width(std::string_view text) {  // code points, near enough to columns
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

}  // namespace

std::string Table::Text(bool with_head) const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max({widths[i], Width(row[i]), size_t{1}});
  }
  std::string out;
  for (size_t r = with_head ? 0 : 1; r < rows_.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows_[r].size(); ++i) {
      const std::string cell = rows_[r][i].empty() ? "-" : rows_[r][i];
      line += cell;
      if (i + 1 < rows_[r].size()) line.append(widths[i] - Width(cell) + 3, ' ');
    }
    out += line + "\n";
  }
  return out;
}

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void PrintErr(std::string_view text) {
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fputc('\n', stderr);
}

std::string Age(const std::string& timestamp) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, timestamp, &time, &error)) return "";
  const int64_t s = std::max<int64_t>(0, absl::ToInt64Seconds(absl::Now() - time));
  if (s < 120) return fmt::format("{}s", s);
  if (s < 7200) return fmt::format("{}m{}s", s / 60, s % 60);
  if (s < 172'800) return fmt::format("{}h{}m", s / 3600, s / 60 % 60);
  return fmt::format("{}d", s / 86'400);
}

}  // namespace mesh::meshctl
