// Durations in logarithmic buckets, 128 to the octave: below 1 % error, fixed memory, mergeable.
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <vector>

namespace mesh::meshapp {

class Histogram {
 public:
  void Add(std::chrono::nanoseconds duration) {
    const auto value = static_cast<uint64_t>(duration.count() > 0 ? duration.count() : 0);
    ++buckets_[Index(value)];
    ++count_;
    if (value > max_ns_) max_ns_ = value;
  }
  void Merge(const Histogram& other) {
    for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    if (other.max_ns_ > max_ns_) max_ns_ = other.max_ns_;
  }
  uint64_t count() const { return count_; }
  double max_us() const { return static_cast<double>(max_ns_) / 1000; }
  // The duration that `part` (0 to 1) of all were no longer than.
  double QuantileUs(double part) const {
    const auto wanted = static_cast<uint64_t>(part * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (buckets_[i] > 0 && seen >= wanted) return static_cast<double>(Middle(i)) / 1000;
    }
    return 0;
  }

 private:
  static constexpr int kBits = 7;
  static size_t Index(uint64_t value) {
    const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kBits - 1);
    return (static_cast<size_t>(shift) << kBits) + (value >> shift);
  }
  static uint64_t Middle(size_t index) {
    if (index < (2u << kBits)) return index;
    const size_t shift = (index >> kBits) - 1;
    const uint64_t low = ((index & ((1u << kBits) - 1)) | (1u << kBits)) << shift;
    return low + (1ULL << shift) / 2;
  }

  std::vector<uint64_t> buckets_ = std::vector<uint64_t>(58 << kBits);
  uint64_t count_ = 0;
  uint64_t max_ns_ = 0;
};

}  // namespace mesh::meshapp
