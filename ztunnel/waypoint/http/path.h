// A request's path before policy and routing look at it, so that one resource has one spelling.
//
// MeshConfig.pathNormalization; what each does is Envoy's and stands in the unit test's table:
//   kNone         as it came
//   kBase         dot segments go (those that lead out of the root, too), `\` becomes `/`, escapes
//                 of letters, digits and -._~ are decoded; other escapes stay as they were written,
//                 in upper or lower case; bytes that no path may hold are escaped
//   kMergeSlashes kBase, and `//` becomes `/`
//   kDecodeAndMergeSlashes
//                 %2F and %5C are decoded first, then kMergeSlashes
// The query is never touched; "*" and the empty path (CONNECT) stay.
#pragma once

#include <cstdint>
#include <string>

namespace mesh::http {

enum class PathNormalization : uint8_t { kNone, kBase, kMergeSlashes, kDecodeAndMergeSlashes };

// Changes `path` (with its query) in place; twice is as once. False, and `path` is as it was, when
// it must be refused with 400 (not of kNone): a broken escape, an escaped or plain NUL, a control
// character, `#`, or no `/` at its start.
bool NormalizePath(PathNormalization how, std::string& path);

}  // namespace mesh::http
