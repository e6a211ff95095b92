#include "ztunnel/cmd/revocation_file.h"

#include <absl/time/clock.h>
#include <sys/stat.h>

#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::cmd {

RevocationFile::Mark RevocationFile::MarkOf() const {
  struct stat info{};
  if (::stat(path_.c_str(), &info) != 0) return {};
  return {static_cast<int64_t>(info.st_dev), static_cast<int64_t>(info.st_ino), info.st_size,
          info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

absl::StatusOr<identity::RevocationListsRef> RevocationFile::Load() {
  seen_ = MarkOf();  // before the text: what changes meanwhile is read once more
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path_, identity::RevocationLists::kMaxBytes));
  absl::StatusOr<identity::RevocationListsRef> lists = identity::RevocationLists::Parse(text);
  if (!lists.ok()) return WithContext(lists.status(), path_);
  counters_.lists = (*lists)->lists();
  counters_.revoked = (*lists)->revoked();
  counters_.loaded_unix = absl::ToUnixSeconds(absl::Now());
  Logger("identity")
      ->info("revocation lists read path={} lists={} certificates={}", path_, (*lists)->lists(),
             (*lists)->revoked());
  return lists;
}

identity::RevocationListsRef RevocationFile::Changed() {
  if (MarkOf() == seen_) return nullptr;
  absl::StatusOr<identity::RevocationListsRef> lists = Load();
  if (lists.ok()) return *std::move(lists);
  ++counters_.failures;
  Logger("identity")
      ->error("revocation lists not read, the last ones stay in force path={} err={}", path_,
              Quoted(Describe(lists.status())));
  return nullptr;
}

}  // namespace mesh::cmd
