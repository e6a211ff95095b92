// A request's path before policy and routing look at it, so that one resource has one spelling.
//
// MeshConfig.pathNormalization; what each does is Envoy's and stands in the unit test's table:
//   kNone         as it came
//   kBase         dot segments go, `\` becomes `/`, escapes of unreserved characters are decoded
//   and
//                 the others' digits are upper case (RFC 3986, 6.2.2)
//   kMergeSlashes kBase, and `//` becomes `/`
//   kDecode       %2F and %5C are decoded first, then kMergeSlashes
// The query is never touched.
#pragma once

#include <cstdint>
#include <string>

namespace mesh::http {

enum class PathNormalization : uint8_t { kNone, kBase, kMergeSlashes, kDecodeAndMergeSlashes };

// Changes `path` (with its query) in place. False, and `path` is as it was, when it must be refused
// with 400: a broken escape, %00, or dot segments that lead out of the root.
bool NormalizePath(PathNormalization how, std::string& path);

}  // namespace mesh::http
