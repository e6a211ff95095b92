// Directories of manifests as the source of truth: files as the local API server.
//
// Objects of the same key in several directories are laid over each other in the order of the
// directories (RFC 7396); in one directory the file that comes last by name counts, and the other
// is reported. Files named *.patch.json only ever change an object that another file has. Names
// that begin with '.' are ignored, so writers write `.tmp...` and rename(2).
//
// A file that does not parse, and an object that does not validate, keep their last good version
// and are listed in problems(). So do the files of a directory that is there and cannot be listed:
// what is not seen is not gone. While that is so at the first look, nothing is emitted yet. The
// last good versions outlive the process in the record (object_record.h), if there is one; a broken
// file that the record does not know was never in force. Changes come from inotify; a full look
// every `rescan` finds what it missed. Bounds: 20,000 files, 4 MiB a file (yaml.h); new files
// beyond are reported and left out.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/k8s/manifest.h"
#include "agent/k8s/object_record.h"
#include "agent/k8s/source.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::k8s {

// An annotation that says something only in files of that directory; elsewhere it is left out, and
// told as a problem. No directory: nowhere.
struct ReservedAnnotation {
  std::string name;
  std::string directory;
};

class LocalSource : public Source {
 public:
  // Directories that do not exist yet are looked for at every rescan.
  static absl::StatusOr<std::unique_ptr<LocalSource>> Create(
      std::vector<std::string> directories, absl::Duration rescan = absl::Seconds(5),
      ReservedAnnotation reserved = {});
  // Before the first Poll. The directory is this source's own.
  absl::Status KeepRecord(const std::string& directory);

  int fd() const override { return epoll_.get(); }
  void Poll(const Handler& handler) override;
  const std::vector<Problem>& problems() const override { return problems_; }

  // The file that holds the object first (not a patch); empty when there is none. For delete and
  // edit.
  std::string FileOf(const Key& key) const;

 private:
  struct Stamp {
    int64_t mtime_ns = 0;
    int64_t size = 0;
    uint64_t inode = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct File {
    size_t directory = 0;  // rank of the overlay
    bool patch = false;
    Stamp stamp;
    Manifest manifest;
  };
  struct Place {
    const File* file;
    const std::string* path;
    const ManifestEntry* entry;
  };

  LocalSource(std::vector<std::string> directories, ReservedAnnotation reserved);
  void Drain();
  // Updates files_; the keys of everything that a changed file had or has go to `dirty`.
  void Scan(std::set<Key>& dirty);
  void ScanDirectory(const std::string& path, size_t rank, std::map<std::string, File>& seen,
                     std::set<Key>& dirty, int depth);
  // What the directory of that rank had at `path` and below stays as it was.
  void Keep(const std::string& path, size_t rank, std::map<std::string, File>& seen);
  void NotListed(const std::string& path, size_t rank, int error,
                 std::map<std::string, File>& seen);
  File Load(const std::string& path, size_t rank, const Stamp& stamp, const File* before);
  // What the record has of a file that cannot be read now.
  void TakeRecorded(const std::string& path, File& file);
  void Rebuild(const std::set<Key>& dirty, std::vector<Event>& events);
  // The places' objects laid over each other.
  Json Merge(const Key& key, const std::vector<Place>& places, std::vector<Problem>& problems);
  std::optional<Object> DecodeRecorded(const Key& key, const std::vector<Place>& places);
  void WriteRecord();
  absl::Status WriteRecordOf(const std::string& path) const;
  void CollectProblems();

  void LeaveOutReserved(const std::string& path, size_t rank, Manifest& manifest) const;

  const std::vector<std::string> directories_;
  const ReservedAnnotation reserved_;
  UniqueFd epoll_;
  UniqueFd inotify_;
  UniqueFd timer_;
  bool first_ = true;
  bool incomplete_ = false;  // something could not be listed in the last scan
  size_t left_out_ = 0;      // files beyond the bound, in the last scan
  std::optional<ObjectRecord> record_;
  std::set<std::string> unrecorded_;   // files of which the record may not be true
  std::set<Key> undecodable_;          // what the files have of it is not good
  std::set<Key> dirty_;                // to be rebuilt
  std::map<std::string, File> files_;  // by path
  std::map<Key, Object> objects_;      // last good version of each
  std::map<Key, std::vector<Problem>> object_problems_;
  std::vector<Problem> scan_problems_;
  std::vector<Problem> record_problems_;
  std::vector<Problem> problems_;
};

}  // namespace mesh::k8s
