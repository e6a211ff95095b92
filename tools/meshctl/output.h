// What commands print: tables for people, JSON and YAML for programs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/meshctl/json.h"

namespace mesh::meshctl {

// Columns as wide as their widest cell. Empty cells print as "-".
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  std::string Text(bool with_head = true) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

void Print(std::string_view text);     // stdout
void PrintErr(std::string_view text);  // stderr, one line

// "3m20s" since an RFC 3339 time; "" when it is none.
std::string Age(const std::string& timestamp);

}  // namespace mesh::meshctl
