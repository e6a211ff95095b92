#include "ztunnel/waypoint/route/substitution.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>

#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/route/substitution_words.h"

namespace mesh::route {
namespace {

constexpr size_t kMaxText = 8192;

// What stands between two percents: NAME, NAME(arguments), each with :length behind it.
struct Command {
  std::string_view name;
  std::optional<std::string_view> arguments;
  std::optional<size_t> limit;
};

bool IsNameCharacter(char c) {
  return absl::ascii_isupper(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '_';
}

// Takes the command off `text`, which stands behind the first percent, with its last percent.
absl::StatusOr<Command> TakeCommand(std::string_view& text) {
  Command command;
  size_t at = 0;
  while (at < text.size() && IsNameCharacter(text[at])) ++at;
  command.name = text.substr(0, at);
  if (at < text.size() && text[at] == '(') {
    const size_t close = text.find(')', at);
    if (close == text.npos) return Invalid("%{}( is not closed", command.name);
    command.arguments = text.substr(at + 1, close - at - 1);
    at = close + 1;
  }
  if (at < text.size() && text[at] == ':') {
    const size_t end = text.find('%', at);
    const std::string_view digits = text.substr(at + 1, end == text.npos ? 0 : end - at - 1);
    uint32_t limit = 0;
    if (!absl::SimpleAtoi(absl::string_view(digits.data(), digits.size()), &limit))
      return Invalid("the length of %{}% is no number", command.name);
    command.limit = limit;
    at = end;
  }
  if (command.name.empty() || at >= text.size() || text[at] != '%')
    return Invalid("% that does not begin a substitution (a literal percent is %%)");
  text.remove_prefix(at + 1);
  return command;
}

}  // namespace

absl::StatusOr<Template> Template::Parse(std::string_view text) {
  if (text.size() > kMaxText) return Invalid("{} characters, more than {}", text.size(), kMaxText);
  Template out;
  const auto literal = [&out](std::string_view more) {
    if (more.empty()) return;
    if (out.pieces_.empty() || out.pieces_.back().word != 0) out.pieces_.emplace_back();
    out.pieces_.back().text += more;
  };
  while (!text.empty()) {
    const size_t percent = std::min(text.find('%'), text.size());
    literal(text.substr(0, percent));
    text.remove_prefix(percent);
    if (text.empty()) break;
    text.remove_prefix(1);
    if (text.starts_with('%')) {
      literal("%");
      text.remove_prefix(1);
      continue;
    }
    ASSIGN_OR_RETURN(Command command, TakeCommand(text));
    ASSIGN_OR_RETURN(words::Parsed parsed, words::Parse(command.name, command.arguments));
    out.pieces_.push_back({static_cast<uint8_t>(parsed.word), std::move(parsed.argument),
                           std::move(parsed.alternate), command.limit});
  }
  return out;
}

void Template::AppendTo(const Facts& facts, std::string_view missing, std::string& out) const {
  for (const Piece& piece : pieces_) {
    if (piece.word == 0) {
      out += piece.text;
      continue;
    }
    const size_t begin = out.size();
    if (!words::Append(static_cast<words::Word>(piece.word), piece.text, piece.alternate, facts,
                       out)) {
      out.resize(begin);
      out += missing;
    } else if (piece.limit && out.size() - begin > *piece.limit) {
      out.resize(begin + *piece.limit);
    }
  }
}

std::string Template::Text(const Facts& facts, std::string_view missing) const {
  std::string out;
  AppendTo(facts, missing, out);
  return out;
}

std::optional<std::string_view> Template::Constant() const {
  if (pieces_.empty()) return std::string_view();
  if (pieces_.size() == 1 && pieces_[0].word == 0) return pieces_[0].text;
  return std::nullopt;
}

}  // namespace mesh::route
