#include "ztunnel/waypoint/http/header_map.h"

#include <algorithm>

#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/http/chars.h"

namespace mesh::http {
namespace {

#ifdef NDEBUG
void CheckLower(std::string_view) {}
#else
void CheckLower(std::string_view name) {
  MESH_CHECK(IsFieldName(name), "a field's name is a token");
  for (const char c : name) MESH_CHECK(c == LowerAscii(c), "a field's name is lower case");
}
#endif

}  // namespace

HeaderView HeaderMap::operator[](size_t index) const {
  const Field& field = fields_[index];
  return {At(field.name, field.name_size), At(field.value, field.value_size)};
}

size_t HeaderMap::ByteSize() const {
  size_t bytes = 32 * fields_.size();
  for (const Field& field : fields_) bytes += field.name_size + field.value_size;
  return bytes;
}

std::optional<std::string_view> HeaderMap::Find(std::string_view name) const {
  for (const Field& field : fields_) {
    if (field.name_size == name.size() && At(field.name, field.name_size) == name) {
      return At(field.value, field.value_size);
    }
  }
  return std::nullopt;
}

size_t HeaderMap::Count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(fields_.begin(), fields_.end(), [&](const Field& f) {
    return At(f.name, f.name_size) == name;
  }));
}

std::optional<std::string> HeaderMap::Joined(std::string_view name) const {
  std::optional<std::string> all;
  for (const Field& field : fields_) {
    if (At(field.name, field.name_size) != name) continue;
    if (all) all->push_back(',');
    if (!all) all.emplace();
    all->append(At(field.value, field.value_size));
  }
  return all;
}

void HeaderMap::Add(std::string_view name, std::string_view value) {
  CheckLower(name);
  if (IsOwn(name) || IsOwn(value)) return Add(std::string(name), std::string(value));
  const uint32_t name_at = Store(name);
  const uint32_t value_at = Store(value);
  fields_.push_back(
      {name_at, static_cast<uint32_t>(name.size()), value_at, static_cast<uint32_t>(value.size())});
}

bool HeaderMap::AddFromWire(std::string_view name, std::string_view value) {
  if (name.empty()) return false;
  const size_t before = bytes_.size();
  const uint32_t name_at = Store(name);
  char valid = 1;
  for (size_t i = name_at; i < bytes_.size(); ++i) {
    const char lower = kTokenLower[static_cast<uint8_t>(bytes_[i])];
    if (lower == 0) valid = 0;
    bytes_[i] = lower;
  }
  if (valid == 0) {
    bytes_.resize(before);
    return false;
  }
  const uint32_t value_at = Store(value);
  fields_.push_back(
      {name_at, static_cast<uint32_t>(name.size()), value_at, static_cast<uint32_t>(value.size())});
  return true;
}

void HeaderMap::PopBack() {
  const Field last = fields_.back();
  fields_.pop_back();
  if (last.value + last.value_size == bytes_.size()) bytes_.resize(last.value);
  if (last.name + last.name_size == bytes_.size()) bytes_.resize(last.name);
}

void HeaderMap::Reserve(size_t fields, size_t bytes) {
  fields_.reserve(fields);
  bytes_.reserve(bytes);
}

void HeaderMap::Set(std::string_view name, std::string_view value) {
  CheckLower(name);
  auto first = std::find_if(fields_.begin(), fields_.end(),
                            [&](const Field& f) { return At(f.name, f.name_size) == name; });
  if (first == fields_.end()) return Add(name, value);
  if (IsOwn(name) || IsOwn(value)) return Set(std::string(name), std::string(value));
  if (value.size() <= first->value_size) {
    value.copy(bytes_.data() + first->value, value.size());
  } else {
    first->value = Store(value);
  }
  first->value_size = static_cast<uint32_t>(value.size());
  fields_.erase(std::remove_if(first + 1, fields_.end(),
                               [&](const Field& f) { return At(f.name, f.name_size) == name; }),
                fields_.end());
  DropGaps();
}

size_t HeaderMap::Remove(std::string_view name) {
  if (IsOwn(name)) return Remove(std::string(name));
  const size_t gone =
      std::erase_if(fields_, [&](const Field& f) { return At(f.name, f.name_size) == name; });
  if (gone > 0) DropGaps();
  return gone;
}

size_t HeaderMap::RemoveIf(const std::function<bool(HeaderView)>& goes) {
  const size_t gone = std::erase_if(fields_, [&](const Field& f) {
    return goes({At(f.name, f.name_size), At(f.value, f.value_size)});
  });
  if (gone > 0) DropGaps();
  return gone;
}

void HeaderMap::Clear() {
  bytes_.clear();
  fields_.clear();
}

uint32_t HeaderMap::Store(std::string_view text) {
  MESH_CHECK(bytes_.size() + text.size() <= UINT32_MAX, "header fields of 4 GiB");
  const auto at = static_cast<uint32_t>(bytes_.size());
  bytes_.append(text);
  return at;
}

bool HeaderMap::IsOwn(std::string_view text) const {
  const std::less_equal<const char*> not_after;
  return not_after(bytes_.data(), text.data()) &&
         not_after(text.data(), bytes_.data() + bytes_.size());
}

// A map whose fields are set over and over does not grow for ever.
void HeaderMap::DropGaps() {
  constexpr size_t kSmall = 1024;
  if (bytes_.size() <= kSmall) return;
  const size_t used = ByteSize() - 32 * fields_.size();
  if (bytes_.size() <= 2 * used) return;
  HeaderMap tight;
  tight.Reserve(fields_.size(), used);
  for (size_t i = 0; i < size(); ++i) tight.Add((*this)[i].name, (*this)[i].value);
  *this = std::move(tight);
}

bool IsFieldName(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

bool IsFieldValue(std::string_view text) {
  if (text.size() != Trim(text).size()) return false;
  bool bad = false;  // no early way out: the loop then works on many bytes at once
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    bad |= (byte < 0x20 && byte != '\t') || byte == 0x7f;
  }
  return !bad;
}

}  // namespace mesh::http
