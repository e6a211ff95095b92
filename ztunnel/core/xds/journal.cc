#include "ztunnel/core/xds/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <thread>
#include <utility>

#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::xds {
namespace {

constexpr std::string_view kMagic = "mesh-discovery-copy 2\n";
constexpr std::string_view kComplete = "mesh/complete";  // in the place of a type
constexpr uint64_t kSlack = 4 << 20;                     // a small file is not worth rewriting

struct FrameHeader {
  uint64_t size;
  uint64_t checksum;
};

// The file from `from` on.
absl::StatusOr<std::string> ReadAll(const std::string& path, uint64_t max_bytes,
                                    uint64_t from = 0) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) return Errno(errno, "read {}", path);
  if (static_cast<uint64_t>(info.st_size) > 2 * max_bytes) return Invalid("{} is too large", path);
  const auto size = static_cast<uint64_t>(info.st_size);
  std::string out(static_cast<size_t>(size - std::min(from, size)), '\0');
  size_t at = 0;
  while (at < out.size()) {
    const ssize_t n =
        ::pread(fd.get(), out.data() + at, out.size() - at, static_cast<off_t>(from + at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno(errno, "read {}", path);
    if (n == 0) break;
    at += static_cast<size_t>(n);
  }
  out.resize(at);
  return out;
}

struct Frames {
  std::vector<Response> responses;
  bool complete = false;  // the mark was among them
};

// Up to the first that is not whole.
Frames ReadFrames(std::string_view data) {
  Frames out;
  while (data.size() >= sizeof(FrameHeader)) {
    FrameHeader header;
    std::memcpy(&header, data.data(), sizeof(header));
    data.remove_prefix(sizeof(header));
    if (header.size > data.size()) break;
    const std::string_view body = data.substr(0, header.size);
    Response response;
    if (XXH3_64bits(body.data(), body.size()) != header.checksum ||
        !response.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
      break;
    }
    data.remove_prefix(header.size);
    if (response.type_url() == kComplete) {
      out.complete = true;
    } else {
      out.responses.push_back(std::move(response));
    }
  }
  return out;
}

// The last word on each name.
std::vector<Response> Merge(std::vector<Response> frames) {
  std::map<std::string, std::map<std::string, Resource>> types;
  for (Response& frame : frames) {
    auto& held = types[frame.type_url()];
    for (const std::string& name : frame.removed_resources()) held.erase(name);
    for (Resource& r : *frame.mutable_resources()) held[r.name()] = std::move(r);
  }
  std::vector<Response> out;
  for (auto& [url, held] : types) {
    Response& response = out.emplace_back();
    response.set_type_url(url);
    for (auto& [name, resource] : held) *response.add_resources() = std::move(resource);
  }
  return out;
}

// The types of `newer` in the place of those of `content`.
void Replace(std::vector<Response>& content, std::vector<Response> newer) {
  for (Response& response : newer) {
    std::erase_if(content,
                  [&](const Response& old) { return old.type_url() == response.type_url(); });
    content.push_back(std::move(response));
  }
}

// A rename is on disk when its directory is.
void SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) ::fsync(fd.get());
}

std::string FrameOf(const Response& response) {
  const std::string body = response.SerializeAsString();
  const FrameHeader header{body.size(), XXH3_64bits(body.data(), body.size())};
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
}

Response Mark() {
  Response mark;
  mark.set_type_url(std::string(kComplete));
  return mark;
}

}  // namespace

// The first `bytes` of the file in `path` are merged into a new one; what is appended meanwhile is
// carried over when that is done.
struct Journal::Rewrite {
  Rewrite(std::string p, std::string to, uint64_t n, uint64_t max)
      : bytes(n), thread([this, path = std::move(p), new_path = std::move(to), max] {
          result = Run(path, new_path, max);
          done.store(true, std::memory_order_release);
        }) {}
  ~Rewrite() {
    if (thread.joinable()) thread.join();
  }
  absl::StatusOr<Written> Run(const std::string& path, const std::string& new_path,
                              uint64_t max) const {
    ASSIGN_OR_RETURN(const std::string data, ReadAll(path, max));
    const std::string_view known = std::string_view(data).substr(0, bytes);
    return WriteContent(new_path, Merge(ReadFrames(known.substr(kMagic.size())).responses));
  }

  const uint64_t bytes;
  std::atomic<bool> done{false};
  absl::StatusOr<Written> result = Unavailable("not yet");
  std::thread thread;  // last: it uses the above
};

Journal::Journal(std::string path, uint64_t max_bytes)
    : path_(std::move(path)), max_bytes_(max_bytes) {}

Journal::~Journal() = default;

absl::Status Journal::Stop(const absl::Status& why) {
  rewrite_.reset();
  file_.Reset();
  ::unlink(NewPath().c_str());
  path_.clear();
  return why;
}

absl::StatusOr<std::vector<Response>> Journal::Load() {
  if (!enabled()) return NotFound("no copy of the configuration is kept");
  ASSIGN_OR_RETURN(const std::string data, ReadAll(path_, max_bytes_));
  if (!std::string_view(data).starts_with(kMagic)) {
    return Invalid("{} is no copy of a configuration", path_);
  }
  Frames frames = ReadFrames(std::string_view(data).substr(kMagic.size()));
  if (!frames.complete) return Invalid("{} is not a whole copy", path_);
  std::vector<Response> content = Merge(std::move(frames.responses));
  if (pending_) {
    ASSIGN_OR_RETURN(const std::string begun, ReadAll(NewPath(), max_bytes_));
    Replace(content, Merge(ReadFrames(std::string_view(begun).substr(kMagic.size())).responses));
  }
  absl::StatusOr<Written> written = WriteContent(NewPath(), content);
  const absl::Status status = written.ok() ? Adopt(*std::move(written)) : Stop(written.status());
  if (!status.ok()) {
    Logger("xds")->warn("no further copy of the configuration is kept err={}",
                        Quoted(Describe(status)));
  }
  return content;
}

absl::Status Journal::Begin() {
  if (!enabled()) return absl::OkStatus();
  file_.Reset(::open(NewPath().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file_) return Stop(Errno(errno, "create {}", NewPath()));
  pending_ = true;
  bytes_ = kMagic.size();
  compact_at_ = max_bytes_;
  if (absl::Status s = WriteAll(file_.get(), kMagic, NewPath()); !s.ok()) return Stop(s);
  return absl::OkStatus();
}

absl::Status Journal::Commit() {
  if (!enabled() || !pending_) return absl::OkStatus();
  pending_ = false;
  if (absl::Status s = AppendFrame(Mark()); !s.ok()) return Stop(s);
  if (::fdatasync(file_.get()) != 0) return Stop(Errno(errno, "sync {}", NewPath()));
  return Adopt({std::move(file_), bytes_});
}

// The file at NewPath() takes the place of the copy.
absl::Status Journal::Adopt(Written written) {
  if (::rename(NewPath().c_str(), path_.c_str()) != 0) {
    return Stop(Errno(errno, "rename {} to {}", NewPath(), path_));
  }
  SyncDirectoryOf(path_);
  pending_ = false;
  file_ = std::move(written.file);
  bytes_ = written.bytes;
  compact_at_ = std::min(2 * bytes_ + kSlack, max_bytes_);
  return absl::OkStatus();
}

absl::Status Journal::Append(const Response& accepted) {
  if (!enabled() || !file_) return absl::OkStatus();
  if (accepted.resources().empty() && accepted.removed_resources().empty()) return absl::OkStatus();
  if (absl::Status s = AppendFrame(accepted); !s.ok()) return Stop(s);
  if (rewrite_ == nullptr) {
    if (bytes_ > compact_at_ && !pending_) StartRewrite();
  } else if (rewrite_->done.load(std::memory_order_acquire)) {
    RETURN_IF_ERROR(FinishRewrite());
  }
  if (bytes_ > max_bytes_) RETURN_IF_ERROR(FinishRewrite());
  if (!enabled() || bytes_ <= max_bytes_) return absl::OkStatus();
  return Stop(ResourceExhausted("copy of the configuration: {} bytes are over the limit of {}",
                                bytes_, max_bytes_));
}

void Journal::StartRewrite() {
  rewrite_ = std::make_unique<Rewrite>(path_, NewPath(), bytes_, max_bytes_);
}

absl::Status Journal::FinishRewrite() {
  if (rewrite_ == nullptr) return absl::OkStatus();
  rewrite_->thread.join();
  const std::unique_ptr<Rewrite> rewrite = std::move(rewrite_);
  if (!rewrite->result.ok()) return Stop(rewrite->result.status());
  Written written = *std::move(rewrite->result);
  absl::StatusOr<std::string> tail = ReadAll(path_, max_bytes_, rewrite->bytes);
  if (!tail.ok()) return Stop(tail.status());
  if (absl::Status s = WriteAll(written.file.get(), *tail, NewPath()); !s.ok()) return Stop(s);
  written.bytes += tail->size();
  return Adopt(std::move(written));
}

absl::StatusOr<Journal::Written> Journal::WriteContent(const std::string& path,
                                                       const std::vector<Response>& content) {
  Written out{UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600))};
  if (!out.file) return Errno(errno, "create {}", path);
  const auto put = [&](std::string_view bytes) {
    out.bytes += bytes.size();
    return WriteAll(out.file.get(), bytes, path);
  };
  RETURN_IF_ERROR(put(kMagic));
  for (const Response& response : content) RETURN_IF_ERROR(put(FrameOf(response)));
  RETURN_IF_ERROR(put(FrameOf(Mark())));
  if (::fdatasync(out.file.get()) != 0) return Errno(errno, "sync {}", path);
  return out;
}

absl::Status Journal::AppendFrame(const Response& response) {
  const std::string frame = FrameOf(response);
  bytes_ += frame.size();
  return WriteAll(file_.get(), frame, path_);
}

}  // namespace mesh::xds
