// The header fields of one message, in order, in one piece of memory.
//
// Names are lower case. Views are valid until the next call that is not const. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::http {

struct HeaderView {
  std::string_view name;
  std::string_view value;
};

class HeaderMap {
 public:
  size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }
  HeaderView operator[](size_t index) const;
  // Bytes of all names and values, 32 more for each field (RFC 9113, 6.5.2).
  size_t ByteSize() const;

  // The first of several; nothing when absent.
  std::optional<std::string_view> Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name).has_value(); }
  size_t Count(std::string_view name) const;
  // All values of the name, joined by ','; nothing when absent.
  std::optional<std::string> Joined(std::string_view name) const;

  // `name` is lower case already (checked in debug builds). Here and in Set the texts may be the
  // map's own.
  void Add(std::string_view name, std::string_view value);
  // For codecs: any case. False, and nothing is added, when the name is no field name. The value is
  // taken as it is.
  bool AddFromWire(std::string_view name, std::string_view value);
  void PopBack();  // the field added last
  // Room for that much is made once; more is possible.
  void Reserve(size_t fields, size_t bytes);
  // One field, in the place of the first, others of the name go.
  void Set(std::string_view name, std::string_view value);
  size_t Remove(std::string_view name);
  size_t RemoveIf(const std::function<bool(HeaderView)>& goes);
  void Clear();

 private:
  struct Field {
    uint32_t name, name_size, value, value_size;  // places in bytes_
  };
  std::string_view At(uint32_t place, uint32_t size) const {
    return std::string_view(bytes_).substr(place, size);
  }
  uint32_t Store(std::string_view text);
  bool IsOwn(std::string_view text) const;
  void DropGaps();

  std::string bytes_;  // of fields that went, too, until they are half
  std::vector<Field> fields_;
};

// Whether `text` may be a field name (RFC 9110, token) or value (no control characters but tab, no
// space around).
bool IsFieldName(std::string_view text);
bool IsFieldValue(std::string_view text);

}  // namespace mesh::http
