#include "ztunnel/admin/json_writer.h"

#include <fmt/format.h>

#include <iterator>

#include "ztunnel/base/log.h"
#include "ztunnel/base/utf8.h"

namespace mesh::admin {
void JsonWriter::Separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_items_.empty()) return;
  if (has_items_.back()) out_.push_back(',');
  has_items_.back() = true;
}

void JsonWriter::BeginObject() {
  Separate();
  out_.push_back('{');
  has_items_.push_back(false);
}

void JsonWriter::EndObject() {
  has_items_.pop_back();
  out_.push_back('}');
}

void JsonWriter::BeginArray() {
  Separate();
  out_.push_back('[');
  has_items_.push_back(false);
}

void JsonWriter::EndArray() {
  has_items_.pop_back();
  out_.push_back(']');
}

void JsonWriter::Key(std::string_view key) {
  String(key);
  out_.push_back(':');
  after_key_ = true;
}

void JsonWriter::String(std::string_view value) {
  Separate();
  out_.push_back('"');
  ForEachUtf8(value, [this](std::string_view piece) {
    const char c = piece.front();
    if (c == '"' || c == '\\') {
      out_.push_back('\\');
      out_.push_back(c);
    } else if (static_cast<uint8_t>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out_), "\\u{:04x}", static_cast<uint8_t>(c));
    } else {
      out_ += piece;
    }
  });
  out_.push_back('"');
}

void JsonWriter::Number(int64_t value) {
  Separate();
  out_ += std::to_string(value);
}

void JsonWriter::Bool(bool value) {
  Separate();
  out_ += value ? "true" : "false";
}

void JsonWriter::Null() {
  Separate();
  out_ += "null";
}

std::string JsonWriter::Finish() && {
  MESH_CHECK(has_items_.empty() && !after_key_, "unfinished JSON");
  return std::move(out_);
}

}  // namespace mesh::admin
