// One line of the access log, as Envoy's default formats write it: text or JSON, each with '\n' at
// its end.
//
// Immutable, thread-safe; one for each format serves all. Appending allocates only what `out`
// grows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/waypoint/route/facts.h"
#include "ztunnel/waypoint/route/substitution.h"

namespace mesh::filter {

class AccessLogFormat {
 public:
  static AccessLogFormat Text();
  static AccessLogFormat Json();

  void Append(const route::Facts& facts, std::string& out) const;

 private:
  // How a value is written.
  enum class Form : uint8_t {
    kText,    // "-" when missing; what would end a quoted text is escaped
    kNumber,  // of JSON; null when missing
    kString,  // of JSON; null when missing
  };
  struct Field {
    std::string before;  // what stands before the value
    route::Template value;
    Form form;
  };
  void AppendField(const Field& field, const route::Facts& facts, std::string& out) const;

  std::vector<Field> fields_;
  std::string end_;
};

}  // namespace mesh::filter
