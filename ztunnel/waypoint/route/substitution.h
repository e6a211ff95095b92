// Text with %SUBSTITUTIONS%, as Envoy writes them: %REQ(name?other):length%, %PROTOCOL%,
// %START_TIME(%s.%3f)%, ... A literal percent is %%.
//
// Parsed once, immutable. The words that are known: substitution.cc.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/waypoint/route/facts.h"

namespace mesh::route {

class Template {
 public:
  // Refused: an unbalanced %, a word that is not known, arguments that it does not take.
  static absl::StatusOr<Template> Parse(std::string_view text);

  // Appends; for what is not known, `missing`.
  void AppendTo(const Facts& facts, std::string_view missing, std::string& out) const;
  std::string Text(const Facts& facts, std::string_view missing = "-") const;

  // The whole text, when nothing in it depends on the exchange.
  std::optional<std::string_view> Constant() const;

 private:
  struct Piece {
    uint8_t word = 0;       // of the table in substitution.cc; 0: text
    std::string text;       // or the first argument
    std::string alternate;  // REQ(first?alternate)
    std::optional<size_t> limit;
  };
  std::vector<Piece> pieces_;
};

}  // namespace mesh::route
