// Bytes between a producer at the end and a consumer at the front, in one piece of memory.
//
// Grows to what Reserve asks for; users bound it (each says how). Spans are valid until the next
// call that is not const.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "ztunnel/core/net/budget.h"

namespace mesh::net {

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t capacity) { Grow(capacity); }
  // What was moved from is empty.
  Buffer(Buffer&& other) noexcept
      : bytes_(std::move(other.bytes_)),
        capacity_(std::exchange(other.capacity_, 0)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    capacity_ = std::exchange(other.capacity_, 0);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
    return *this;
  }

  std::span<const std::byte> data() const { return {bytes_.get() + begin_, end_ - begin_}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  size_t capacity() const { return capacity_; }

  // All free bytes at the end, `n` at least. Follow with Commit of what was written.
  std::span<std::byte> Reserve(size_t n) {
    if (capacity_ - end_ < n) MakeRoom(n);
    return {bytes_.get() + end_, capacity_ - end_};
  }
  void Commit(size_t n) { end_ += n; }
  void Append(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    std::memcpy(Reserve(bytes.size()).data(), bytes.data(), bytes.size());
    Commit(bytes.size());
  }
  void Consume(size_t n) {
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  void Clear() { begin_ = end_ = 0; }
  // Gives the memory back.
  void Free() {
    bytes_.reset();
    begin_ = end_ = capacity_ = 0;
  }

 private:
  void MakeRoom(size_t n) {
    if (capacity_ - size() >= n && begin_ >= capacity_ / 2) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
      return;
    }
    Grow(std::max(size() + n, 2 * size()));
  }
  void Grow(size_t capacity) {
    auto bigger = std::make_unique_for_overwrite<std::byte[]>(capacity);
    const size_t used = size();
    if (used > 0) std::memcpy(bigger.get(), bytes_.get() + begin_, used);
    bytes_ = std::move(bigger);
    capacity_ = capacity;
    begin_ = 0;
    end_ = used;
  }

  std::unique_ptr<std::byte[]> bytes_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

// The buffers that all connections of a worker share within one turn of its loop; none holds
// anything between two callbacks. 256 KiB is where throughput stops growing.
struct SharedBuffers {
  static constexpr size_t kBytes = 256 << 10;
  Buffer wire_in{kBytes};           // from sockets
  Buffer plain_in{kBytes + 65536};  // decrypted
  Buffer plain_out{kBytes + 65536};
  Buffer wire_out{kBytes + 131072};  // encrypted, to be sent
  // Beside them: what connections hold longer, in buffers of their own.
  Budget budget;
};

}  // namespace mesh::net
