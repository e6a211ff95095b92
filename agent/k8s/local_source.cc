#include "agent/k8s/local_source.h"

#include <dirent.h>
#include <google/protobuf/util/message_differencer.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <list>
#include <tuple>

#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::k8s {
namespace {

constexpr size_t kMaxFiles = 20'000;
constexpr int64_t kMaxFileBytes = 4 << 20;
constexpr int kMaxDepth = 16;

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool IsManifest(std::string_view name) {
  return EndsWith(name, ".yaml") || EndsWith(name, ".yml") || EndsWith(name, ".json");
}

Json* Child(Json& json, const std::string& name) {
  if (!json.has_struct_value()) return nullptr;
  auto& fields = *json.mutable_struct_value()->mutable_fields();
  const auto it = fields.find(name);
  return it == fields.end() ? nullptr : &it->second;
}

bool EraseAnnotation(Json& object, const std::string& name) {
  Json* metadata = Child(object, "metadata");
  Json* annotations = metadata == nullptr ? nullptr : Child(*metadata, "annotations");
  if (annotations == nullptr || !annotations->has_struct_value()) return false;
  return annotations->mutable_struct_value()->mutable_fields()->erase(name) != 0;
}

// What a file held before and no longer shows, when some document of it could not be read.
void AddMissing(const std::vector<ManifestEntry>& before, Manifest& now) {
  const size_t shown = now.entries.size();
  for (const ManifestEntry& old : before) {
    const auto end = now.entries.begin() + static_cast<ptrdiff_t>(shown);
    const bool there = std::any_of(now.entries.begin(), end,
                                   [&](const ManifestEntry& e) { return e.key == old.key; });
    if (!there) now.entries.push_back(old);
  }
}

}  // namespace

LocalSource::LocalSource(std::vector<std::string> directories, ReservedAnnotation reserved)
    : directories_(std::move(directories)), reserved_(std::move(reserved)) {}

absl::StatusOr<std::unique_ptr<LocalSource>> LocalSource::Create(
    std::vector<std::string> directories, absl::Duration rescan, ReservedAnnotation reserved) {
  std::unique_ptr<LocalSource> source(new LocalSource(std::move(directories), std::move(reserved)));
  source->epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!source->epoll_) return Errno(errno, "epoll_create1");
  source->inotify_ = UniqueFd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!source->inotify_) return Errno(errno, "inotify_init1");
  source->timer_ = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!source->timer_) return Errno(errno, "timerfd_create");
  itimerspec period{};
  period.it_interval = absl::ToTimespec(rescan);
  period.it_value.tv_nsec = 1;  // the first Poll() is due at once
  if (::timerfd_settime(source->timer_.get(), 0, &period, nullptr) != 0) {
    return Errno(errno, "timerfd_settime");
  }
  for (const int fd : {source->inotify_.get(), source->timer_.get()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (::epoll_ctl(source->epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return Errno(errno, "epoll_ctl");
    }
  }
  return source;
}

absl::Status LocalSource::KeepRecord(const std::string& directory) {
  ASSIGN_OR_RETURN(record_, ObjectRecord::Open(directory));
  return absl::OkStatus();
}

void LocalSource::Drain() {
  // What happened does not matter: the scan compares stamps.
  alignas(inotify_event) std::array<char, 16384> buffer;
  while (::read(inotify_.get(), buffer.data(), buffer.size()) > 0) {
  }
  uint64_t expirations = 0;
  (void)!::read(timer_.get(), &expirations, sizeof expirations);
}

void LocalSource::Poll(const Handler& handler) {
  Drain();
  Scan(dirty_);
  std::vector<Event> events;
  // A part must not be taken for all there is.
  if (!first_ || !incomplete_) {
    Rebuild(dirty_, events);
    dirty_.clear();
    WriteRecord();
  }
  CollectProblems();
  if (first_ && incomplete_) return;
  if (!events.empty() || first_) handler(events);
  first_ = false;
}

void LocalSource::Scan(std::set<Key>& dirty) {
  for (bool again = true; again;) {
    scan_problems_.clear();
    incomplete_ = false;
    left_out_ = 0;
    std::map<std::string, File> seen;
    for (size_t rank = 0; rank < directories_.size(); ++rank) {
      ScanDirectory(directories_[rank], rank, seen, dirty, 0);
    }
    // What is left of the old ones is gone, and leaves room for what was left out for their sake.
    again = left_out_ > 0 && !files_.empty();
    for (const auto& [path, file] : files_) {
      for (const ManifestEntry& entry : file.manifest.entries) dirty.insert(entry.key);
      unrecorded_.insert(path);
    }
    files_ = std::move(seen);
  }
}

void LocalSource::Keep(const std::string& path, size_t rank, std::map<std::string, File>& seen) {
  for (auto it = files_.lower_bound(path); it != files_.end() && it->first.starts_with(path);) {
    const auto at = it++;
    const bool below = at->first.size() == path.size() || at->first[path.size()] == '/';
    if (below && at->second.directory == rank) seen.insert(files_.extract(at));
  }
}

void LocalSource::NotListed(const std::string& path, size_t rank, int error,
                            std::map<std::string, File>& seen) {
  incomplete_ = true;
  scan_problems_.push_back({path, 0, "", "",
                            std::string("cannot be listed: ") + std::strerror(error) +
                                "; what it held before stays in force",
                            Level::kError});
  Keep(path, rank, seen);
}

// Moves what is unchanged from files_ to `seen`. A directory inside another of the list belongs to
// the one of higher rank.
void LocalSource::ScanDirectory(const std::string& path, size_t rank,
                                std::map<std::string, File>& seen, std::set<Key>& dirty,
                                int depth) {
  // Watched first, then listed: what comes in between is seen twice and not missed.
  constexpr uint32_t kMask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE |
                             IN_DELETE_SELF | IN_ONLYDIR;
  if (::inotify_add_watch(inotify_.get(), path.c_str(), kMask) < 0 && errno == ENOSPC) {
    scan_problems_.push_back({path, 0, "", "",
                              "no inotify watch left (fs.inotify.max_user_watches); "
                              "changes are seen late",
                              Level::kWarning});
  }
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) {
    if (errno != ENOENT) NotListed(path, rank, errno, seen);
    return;
  }
  std::vector<std::string> directories;
  int error = 0;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir);
    if (entry == nullptr) {
      error = errno;
      break;
    }
    const std::string_view name = entry->d_name;
    if (name.front() == '.') continue;
    const std::string child = path + "/" + std::string(name);
    struct stat info{};
    if (::stat(child.c_str(), &info) != 0) {
      if (errno != ENOENT) NotListed(child, rank, errno, seen);
      continue;  // gone meanwhile, or a link to nothing
    }
    if (S_ISDIR(info.st_mode)) {
      const bool listed =
          std::find(directories_.begin(), directories_.end(), child) != directories_.end();
      if (depth < kMaxDepth && !listed) directories.push_back(child);
      continue;
    }
    if (!S_ISREG(info.st_mode) || !IsManifest(name)) continue;
    const Stamp stamp{info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec, info.st_size,
                      info.st_ino};
    auto old = files_.extract(child);
    // Those that are known may all still be there: none of them makes room for a new one.
    if (old.empty() && seen.size() + files_.size() >= kMaxFiles) {
      if (left_out_++ == 0) {
        scan_problems_.push_back(
            {child, 0, "", "", "left out: more than 20000 files", Level::kError});
      }
      continue;
    }
    if (!old.empty() && old.mapped().stamp == stamp) {
      seen.insert(std::move(old));
      continue;
    }
    const File* before = old.empty() ? nullptr : &old.mapped();
    if (before != nullptr) {
      for (const ManifestEntry& e : before->manifest.entries) dirty.insert(e.key);
    }
    File file = Load(child, rank, stamp, before);
    for (const ManifestEntry& e : file.manifest.entries) dirty.insert(e.key);
    unrecorded_.insert(child);
    seen.emplace(child, std::move(file));
  }
  ::closedir(dir);
  // After the loop: what was listed is fresh, the rest of it stays.
  if (error != 0) NotListed(path, rank, error, seen);
  for (const std::string& child : directories) {
    ScanDirectory(child, rank, seen, dirty, depth + 1);
  }
}

LocalSource::File LocalSource::Load(const std::string& path, size_t rank, const Stamp& stamp,
                                    const File* before) {
  File file{
      .directory = rank, .patch = EndsWith(path, ".patch.json"), .stamp = stamp, .manifest = {}};
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (text.ok()) {
    file.manifest = ReadManifest(path, *text);
    LeaveOutReserved(path, rank, file.manifest);
  } else {
    file.manifest.problems.push_back(
        {path, 1, "", "", std::string(MessageOf(text.status())), Level::kError});
    file.manifest.unreadable = true;
    file.stamp = {};  // it may be readable at the next look, unchanged
  }
  if (!file.manifest.unreadable) return file;
  if (before != nullptr) {
    AddMissing(before->manifest.entries, file.manifest);
  } else if (record_) {
    TakeRecorded(path, file);
  }
  return file;
}

void LocalSource::LeaveOutReserved(const std::string& path, size_t rank, Manifest& manifest) const {
  if (reserved_.name.empty() || directories_[rank] == reserved_.directory) return;
  for (ManifestEntry& entry : manifest.entries) {
    if (!EraseAnnotation(entry.json, reserved_.name)) continue;
    manifest.problems.push_back({path, entry.line, entry.key.ToString(),
                                 "metadata.annotations." + reserved_.name,
                                 "left out: it is not for manifests to say", Level::kWarning});
  }
}

void LocalSource::TakeRecorded(const std::string& path, File& file) {
  const auto recorded = record_->Read(path);
  if (recorded.ok()) return AddMissing(*recorded, file.manifest);
  if (absl::IsNotFound(recorded.status())) return;
  incomplete_ = true;
  file.stamp = {};
  file.manifest.problems.push_back(
      {path, 1, "", "",
       "what it held before cannot be read either: " + std::string(MessageOf(recorded.status())),
       Level::kError});
}

Json LocalSource::Merge(const Key& key, const std::vector<Place>& places,
                        std::vector<Problem>& problems) {
  Json merged;
  const Place* base = nullptr;
  for (const Place& place : places) {
    if (base != nullptr && !place.file->patch && place.file->directory == base->file->directory) {
      problems.push_back({*base->path, base->entry->line, key.ToString(), "",
                          "also in " + *place.path + ", which counts", Level::kWarning, key});
      merged = Json();
    }
    if (!place.file->patch) base = &place;
    MergePatch(merged, place.entry->json);
  }
  return merged;
}

// The same files' last good versions, of another run of the process.
std::optional<Object> LocalSource::DecodeRecorded(const Key& key,
                                                  const std::vector<Place>& places) {
  std::list<ManifestEntry> entries;
  std::vector<Place> recorded;
  for (const Place& place : places) {
    auto read = record_->Read(*place.path);
    if (!read.ok()) continue;
    for (ManifestEntry& entry : *read) {
      if (entry.key != key) continue;
      recorded.push_back({place.file, place.path, &entries.emplace_back(std::move(entry))});
      break;
    }
  }
  if (recorded.empty() || recorded.front().file->patch) return std::nullopt;
  std::vector<Problem> problems;
  std::vector<Issue> issues;
  return DecodeObject(Merge(key, recorded, problems), issues);
}

void LocalSource::WriteRecord() {
  if (!record_) return;
  record_problems_.clear();
  if (first_) {
    std::set<std::string> files;
    for (const auto& [path, file] : files_) files.insert(path);
    record_->ForgetOthers(files);
  }
  std::set<std::string> failed;
  for (const std::string& path : unrecorded_) {
    const absl::Status status = WriteRecordOf(path);
    if (status.ok()) continue;
    failed.insert(path);
    record_problems_.push_back(
        {path, 1, "", "",
         "would not outlive a restart if it broke: " + std::string(MessageOf(status)),
         Level::kWarning});
  }
  unrecorded_ = std::move(failed);  // tried again at the next look
}

absl::Status LocalSource::WriteRecordOf(const std::string& path) const {
  const auto found = files_.find(path);
  if (found == files_.end()) return record_->Forget(path);
  const std::vector<ManifestEntry>& entries = found->second.manifest.entries;
  const auto good = [&](const ManifestEntry& e) { return !undecodable_.contains(e.key); };
  std::vector<ManifestEntry> before;
  if (!std::ranges::all_of(entries, good)) {
    if (auto read = record_->Read(path); read.ok()) before = *std::move(read);
  }
  std::vector<const Json*> objects;
  for (const ManifestEntry& entry : entries) {
    const auto old = std::ranges::find(before, entry.key, &ManifestEntry::key);
    if (good(entry)) {
      objects.push_back(&entry.json);
    } else if (old != before.end()) {
      objects.push_back(&old->json);
    }
  }
  return record_->Write(path, objects);
}

void LocalSource::Rebuild(const std::set<Key>& dirty, std::vector<Event>& events) {
  if (dirty.empty()) return;
  std::map<Key, std::vector<Place>> places;
  for (const auto& [path, file] : files_) {
    for (const ManifestEntry& entry : file.manifest.entries) {
      if (dirty.count(entry.key) != 0) places[entry.key].push_back({&file, &path, &entry});
    }
  }
  for (const Key& key : dirty) {
    std::vector<Place>& found = places[key];
    // Whole objects before patches, then by directory, by path, and as they stand in one file.
    std::sort(found.begin(), found.end(), [](const Place& a, const Place& b) {
      return std::tie(a.file->patch, a.file->directory, *a.path, a.entry) <
             std::tie(b.file->patch, b.file->directory, *b.path, b.entry);
    });
    object_problems_.erase(key);
    undecodable_.erase(key);
    for (const Place& place : found) unrecorded_.insert(*place.path);
    const auto known = objects_.find(key);
    if (found.empty() || found.front().file->patch) {  // no base object
      if (known != objects_.end()) {
        events.push_back({true, std::move(known->second)});
        objects_.erase(known);
      }
      continue;
    }
    std::vector<Problem>& problems = object_problems_[key];
    const Json merged = Merge(key, found, problems);
    std::vector<Issue> issues;
    std::optional<Object> object = DecodeObject(merged, issues);
    const bool good = object.has_value();
    if (!good) undecodable_.insert(key);
    if (!good && known == objects_.end() && record_) object = DecodeRecorded(key, found);
    for (const Issue& issue : issues) {
      // The field stands in the last file that has it, as far as lines tell.
      const Place* place = &found.front();
      for (const Place& candidate : found) {
        if (candidate.entry->lines.count(issue.field) != 0) place = &candidate;
      }
      problems.push_back(MakeProblem(*place->path, *place->entry, issue));
    }
    for (Problem& problem : problems) {
      problem.last_good_stays =
          problem.level == Level::kError && !good && (object || known != objects_.end());
    }
    if (problems.empty()) object_problems_.erase(key);
    if (!object) continue;  // the last good version stays
    if (known != objects_.end() && google::protobuf::util::MessageDifferencer::Equals(
                                       known->second.message(), object->message())) {
      continue;  // written again, nothing new
    }
    events.push_back({false, *object});
    objects_.insert_or_assign(key, *std::move(object));
  }
}

void LocalSource::CollectProblems() {
  problems_ = scan_problems_;
  problems_.insert(problems_.end(), record_problems_.begin(), record_problems_.end());
  for (const auto& [path, file] : files_) {
    problems_.insert(problems_.end(), file.manifest.problems.begin(), file.manifest.problems.end());
  }
  for (const auto& [key, list] : object_problems_) {
    problems_.insert(problems_.end(), list.begin(), list.end());
  }
  std::sort(problems_.begin(), problems_.end());
}

std::string LocalSource::FileOf(const Key& key) const {
  for (const auto& [path, file] : files_) {
    if (file.patch) continue;
    for (const ManifestEntry& entry : file.manifest.entries) {
      if (entry.key == key) return path;
    }
  }
  return "";
}

}  // namespace mesh::k8s
