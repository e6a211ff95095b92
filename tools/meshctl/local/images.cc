#include "tools/meshctl/local/images.h"

#include "tools/meshctl/yaml.h"
#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

std::vector<std::string> Words(const meshctl::Json& list) {
  std::vector<std::string> words;
  for (const auto& item : list.Items()) words.push_back(item.Str());
  return words;
}

std::string Substitute(std::string text, const std::vector<std::string>& stars) {
  for (size_t i = 0; i < stars.size() && i < 9; ++i) {
    const std::string name = "$" + std::to_string(i + 1);
    for (size_t at = text.find(name); at != std::string::npos;
         at = text.find(name, at + stars[i].size())) {
      text.replace(at, name.size(), stars[i]);
    }
  }
  return text;
}

}  // namespace

std::optional<std::vector<std::string>> MatchGlob(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) {
    if (pattern != text) return std::nullopt;
    return std::vector<std::string>();
  }
  if (!text.starts_with(pattern.substr(0, star))) return std::nullopt;
  const std::string_view rest = pattern.substr(star + 1);
  const std::string_view tail = text.substr(star);
  for (size_t length = tail.size() + 1; length-- > 0;) {  // the longest text that fits
    if (auto below = MatchGlob(rest, tail.substr(length))) {
      below->insert(below->begin(), std::string(tail.substr(0, length)));
      return below;
    }
  }
  return std::nullopt;
}

std::string_view ImageName(std::string_view image) {
  image = image.substr(0, image.find('@'));
  const size_t colon = image.rfind(':');
  if (colon != std::string_view::npos && image.find('/', colon) == std::string_view::npos) {
    image = image.substr(0, colon);
  }
  return image;
}

ImageTable::ImageTable() {
  for (const char* app : {"productpage", "details", "reviews", "ratings"}) {
    entries_.push_back(
        {std::string("*examples-bookinfo-") + app + "-*", {"meshapp", "bookinfo", app, "$2"}, {}});
  }
  entries_.push_back({"*meshapp", {"meshapp"}, {}});
  entries_.push_back({"mesh/waypoint", {"waypoint"}, {}});
  for (const char* tool :
       {"curlimages/curl", "*/curlimages/curl", "busybox", "*/busybox", "alpine", "*/alpine"}) {
    entries_.push_back({tool, {}, {"meshapp", "sleep"}});
  }
  for (const char* sleeper : {"*/pause", "pause"})
    entries_.push_back({sleeper, {"meshapp", "sleep"}, {}});
}

absl::Status ImageTable::Load(std::string_view text) {
  ASSIGN_OR_RETURN(const auto documents, meshctl::ParseYaml(text));
  std::vector<Entry> added;
  for (const auto& document : documents) {
    for (const auto& item : document.value.At("images").Items()) {
      Entry entry{item.At("image").Str(), Words(item.At("command")), Words(item.At("args"))};
      if (entry.image.empty()) return Invalid("images[{}].image: missing", added.size());
      if (entry.command.empty() && entry.args.empty()) {
        return Invalid("images[{}] ({}): neither command nor args", added.size(), entry.image);
      }
      added.push_back(std::move(entry));
    }
  }
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(loaded_));
  loaded_ = added.size();
  entries_.insert(entries_.begin(), added.begin(), added.end());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ImageTable::CommandOf(
    const meshctl::Json& container) const {
  std::vector<std::string> command = Words(container.At("command"));
  const std::vector<std::string> args = Words(container.At("args"));
  if (!command.empty()) {
    command.insert(command.end(), args.begin(), args.end());
    return command;
  }
  const std::string image = container.At("image").Str();
  for (const Entry& entry : entries_) {
    const auto stars = MatchGlob(entry.image, ImageName(image));
    if (!stars) continue;
    for (const std::string& word : entry.command) command.push_back(Substitute(word, *stars));
    for (const std::string& word : args.empty() ? entry.args : args)
      command.push_back(Substitute(word, *stars));
    return command;
  }
  return NotFound(
      "container \"{}\" has no command and no program stands for image \"{}\": give it a command, "
      "or add the "
      "image to images.yaml of the mesh",
      container.At("name").Str(), image);
}

}  // namespace mesh::local
