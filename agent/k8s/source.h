// Where objects come from: typed upserts and deletes. The local source reads directories; nothing
// above this interface knows which source runs.
//
// Owner: whoever polls it. Thread: one; a Source has no thread of its own.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/k8s/object.h"

namespace mesh::k8s {

struct Event {
  bool deleted = false;
  Object object;  // what it was, when deleted
};

// What a person should mend: one field of one object of one file.
struct Problem {
  std::string file;
  int line = 0;
  std::string object;  // "AuthorizationPolicy shop/deny"; empty when unknown
  std::string field;   // empty: the document
  std::string reason;
  Level level = Level::kError;
  std::optional<Key> key = {};  // of the object, when it is known
  std::string value = {};       // what stands in the field, as JSON cut to 80 bytes; empty: nothing
  // An error of an object whose last good version goes on to count.
  bool last_good_stays = false;

  std::string ToString() const;  // "FILE:LINE: OBJECT: FIELD: REASON"
  auto operator<=>(const Problem&) const = default;
};

class Source {
 public:
  // One batch: what changed since the last. Called from Poll().
  using Handler = std::function<void(const std::vector<Event>&)>;

  virtual ~Source() = default;

  // Readable when Poll() has something to do; for epoll.
  virtual int fd() const = 0;
  // Never blocks. The first call emits everything there is, as one batch (empty when there is
  // nothing): after it the source is in sync.
  virtual void Poll(const Handler& handler) = 0;
  // The present ones; the same list until Poll() changes it.
  virtual const std::vector<Problem>& problems() const = 0;
};

// Blocks in poll(2) on source.fd() for at most `timeout_ms`, or until `wake_fd` (if not negative)
// is readable. For loops that have nothing else to wait for.
void WaitFor(const Source& source, int timeout_ms, int wake_fd = -1);

}  // namespace mesh::k8s
