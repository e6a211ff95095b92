// Texts that many resources share: namespaces, nodes, service accounts, networks and the like.
//
// A Text is one pointer to immutable, counted characters; the empty one is null. It reads as a
// std::string_view. Two Texts with equal characters need not be one: a TextPool makes them so.
// Thread-safe as std::shared_ptr is: a Text belongs to one thread at a time, what it points to to
// all.
#pragma once

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>

#include <atomic>
#include <compare>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "ztunnel/base/log.h"

namespace mesh::state {

class Text {
 public:
  Text() = default;
  Text(std::string_view text);
  Text(const std::string& text) : Text(std::string_view(text)) {}
  Text(const char* text) : Text(std::string_view(text)) {}
  Text(const Text& other) : rep_(other.rep_) {
    if (rep_ != nullptr) rep_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Text(Text&& other) noexcept : rep_(std::exchange(other.rep_, nullptr)) {}
  Text& operator=(Text other) noexcept {
    std::swap(rep_, other.rep_);
    return *this;
  }
  ~Text() { Release(); }

  std::string_view view() const {
    return rep_ == nullptr ? std::string_view() : std::string_view(rep_->chars, rep_->size);
  }
  operator std::string_view() const { return view(); }
  std::string str() const { return std::string(view()); }
  bool empty() const { return rep_ == nullptr; }
  size_t size() const { return view().size(); }
  // Whether nobody else holds these characters.
  bool Unshared() const {
    return rep_ == nullptr || rep_->references.load(std::memory_order_acquire) == 1;
  }

  friend bool operator==(const Text& a, const Text& b) {
    return a.rep_ == b.rep_ || a.view() == b.view();
  }
  friend bool operator==(const Text& a, std::string_view b) { return a.view() == b; }
  friend bool operator==(const Text& a, const char* b) { return a.view() == b; }
  friend bool operator==(const Text& a, const std::string& b) { return a.view() == b; }
  friend auto operator<=>(const Text& a, const Text& b) { return a.view() <=> b.view(); }
  friend std::string operator+(std::string a, const Text& b) { return a.append(b.view()); }
  friend std::string operator+(const Text& a, std::string_view b) { return a.str().append(b); }
  friend std::ostream& operator<<(std::ostream& out, const Text& text) {
    return out << text.view();
  }
  friend std::string_view format_as(const Text& text) { return text.view(); }

 private:
  struct Rep {
    std::atomic<uint32_t> references{1};
    uint32_t size = 0;
    char chars[];
  };
  void Release();
  Rep* rep_ = nullptr;
};

inline Text::Text(std::string_view text) {
  if (text.empty()) return;
  MESH_CHECK(text.size() <= std::numeric_limits<uint32_t>::max(), "a text of 4 GiB");
  void* memory = std::malloc(sizeof(Rep) + text.size());
  MESH_CHECK(memory != nullptr, "out of memory");
  rep_ = new (memory) Rep;
  rep_->size = static_cast<uint32_t>(text.size());
  std::memcpy(rep_->chars, text.data(), text.size());
}

inline void Text::Release() {
  if (rep_ == nullptr || rep_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  rep_->~Rep();
  std::free(rep_);
}

// The end of a text, without characters of its own: a pod's name within its uid.
class TextTail {
 public:
  TextTail() = default;
  template <typename T>
    requires std::is_constructible_v<Text, T&&>
  TextTail(T&& whole) : whole_(std::forward<T>(whole)) {}
  // `tail` itself when `whole` does not end with it.
  TextTail(const Text& whole, std::string_view tail);

  std::string_view view() const { return whole_.view().substr(from_); }
  operator std::string_view() const { return view(); }
  std::string str() const { return std::string(view()); }
  bool empty() const { return view().empty(); }
  friend bool operator==(const TextTail& a, const TextTail& b) { return a.view() == b.view(); }
  friend bool operator==(const TextTail& a, std::string_view b) { return a.view() == b; }
  friend bool operator==(const TextTail& a, const char* b) { return a.view() == b; }
  friend bool operator==(const TextTail& a, const std::string& b) { return a.view() == b; }
  friend std::ostream& operator<<(std::ostream& out, const TextTail& text) {
    return out << text.view();
  }
  friend std::string_view format_as(const TextTail& text) { return text.view(); }

 private:
  Text whole_;
  uint32_t from_ = 0;
};

// Makes equal texts one. Holds what it gave out until nobody else does: the pool is swept when it
// has doubled since the last time, so it is at most about twice what is in use.
class TextPool {
 public:
  Text Intern(std::string_view text);
  size_t size() const { return texts_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return absl::HashOf(text); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a == b; }
  };
  static constexpr size_t kSmallestSweep = 1024;
  absl::flat_hash_set<Text, Hash, Equal> texts_;
  size_t sweep_at_ = kSmallestSweep;
};

}  // namespace mesh::state
