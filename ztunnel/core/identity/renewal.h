// When to fetch next: pure arithmetic, without a clock of its own.
#pragma once

#include <absl/time/time.h>

#include <algorithm>

namespace mesh::identity {

// At half of the lifetime; of what remains when that half is already over (a short certificate
// whose start was dated back).
inline absl::Time RenewAt(absl::Time not_before, absl::Time not_after, absl::Time now) {
  const absl::Time half = not_before + (not_after - not_before) / 2;
  if (half > now) return half;
  return now + std::max((not_after - now) / 2, absl::Milliseconds(500));
}

// Doubles from 0.5 s to 150 s. `random` in [0, 1) spreads by 20 % to either side.
inline absl::Duration RetryDelay(int failures, double random) {
  const absl::Duration full =
      std::min(absl::Milliseconds(500) * (1 << std::min(failures - 1, 12)), absl::Seconds(150));
  return std::min(full * (0.8 + 0.4 * random), absl::Seconds(150));
}

}  // namespace mesh::identity
