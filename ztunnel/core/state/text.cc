#include "ztunnel/core/state/text.h"

#include <algorithm>

namespace mesh::state {

TextTail::TextTail(const Text& whole, std::string_view tail) {
  if (whole.view().ends_with(tail)) {
    whole_ = whole;
    from_ = static_cast<uint32_t>(whole.size() - tail.size());
  } else {
    whole_ = Text(tail);
  }
}

Text TextPool::Intern(std::string_view text) {
  if (text.empty()) return {};
  if (const auto found = texts_.find(text); found != texts_.end()) return *found;
  if (texts_.size() >= sweep_at_) {
    absl::erase_if(texts_, [](const Text& held) { return held.Unshared(); });
    sweep_at_ = std::max(kSmallestSweep, texts_.size() * 2);
  }
  return *texts_.insert(Text(text)).first;
}

}  // namespace mesh::state
