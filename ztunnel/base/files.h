// Small files: read whole up to a limit, written so that readers see the old text or the new one.
//
// Stateless, any thread; the calls block. Errors name the path.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace mesh {

// More than `limit_bytes` is ResourceExhausted: a file that grew by mistake does not fill the
// memory.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     size_t limit_bytes = size_t{64} << 20);
// The text, or `otherwise` when it cannot be read.
std::string ReadFileOr(const std::string& path, std::string_view otherwise = "");

// Writes a file of its own beside `path` (its name begins with '.'), syncs it and renames it. The
// mode holds whatever the umask says, from before the first byte.
absl::Status WriteFile(const std::string& path, std::string_view text, int mode = 0644);

// All of `text` into `fd`; `path` is for the message.
absl::Status WriteAll(int fd, std::string_view text, const std::string& path);

}  // namespace mesh
