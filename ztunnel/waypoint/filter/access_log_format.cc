#include "ztunnel/waypoint/filter/access_log_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/filter/json_text.h"

namespace mesh::filter {
namespace {

struct Item {
  const char* key;    // of JSON
  const char* value;  // the words
};

constexpr Item kItems[] = {
    {"start_time", "%START_TIME%"},
    {"method", "%REQ(:METHOD)%"},
    {"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
    {"protocol", "%PROTOCOL%"},
    {"response_code", "%RESPONSE_CODE%"},
    {"response_flags", "%RESPONSE_FLAGS%"},
    {"response_code_details", "%RESPONSE_CODE_DETAILS%"},
    {"connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"},
    {"upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"},
    {"bytes_received", "%BYTES_RECEIVED%"},
    {"bytes_sent", "%BYTES_SENT%"},
    {"duration", "%DURATION%"},
    {"upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"},
    {"x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"},
    {"user_agent", "%REQ(USER-AGENT)%"},
    {"request_id", "%REQ(X-REQUEST-ID)%"},
    {"authority", "%REQ(:AUTHORITY)%"},
    {"upstream_host", "%UPSTREAM_HOST%"},
    {"upstream_cluster", "%UPSTREAM_CLUSTER%"},
    {"upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"},
    {"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"},
    {"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"},
    {"requested_server_name", "%REQUESTED_SERVER_NAME%"},
    {"route_name", "%ROUTE_NAME%"},
};

// In the text, by place: what stands before each value.
constexpr const char* kBefore[] = {"[",     "] \"",  " ",   " ", "\" ", " ",   " ",     " ",
                                   " \"",   "\" ",   " ",   " ", " ",   " \"", "\" \"", "\" \"",
                                   "\" \"", "\" \"", "\" ", " ", " ",   " ",   " ",     " "};
static_assert(std::size(kBefore) == std::size(kItems));

route::Template Parse(const char* text) {
  auto parsed = route::Template::Parse(text);
  MESH_CHECK(parsed.ok(), "the words of the access log are known");
  return *std::move(parsed);
}

bool IsNumber(std::string_view key) {
  return key == "response_code" || key == "bytes_received" || key == "bytes_sent" ||
         key == "duration";
}

// From `begin` on: quotes, backslashes and control characters are escaped.
void EscapeFrom(size_t begin, std::string& out) {
  const auto bad = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '"' || c == '\\' || byte < 0x20 || byte == 0x7f;
  };
  const auto first = std::find_if(out.begin() + static_cast<ptrdiff_t>(begin), out.end(), bad);
  if (first == out.end()) return;
  const std::string rest(first, out.end());
  out.erase(first, out.end());
  for (const char c : rest) {
    if (!bad(c))
      out += c;
    else
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
  }
}

}  // namespace

AccessLogFormat AccessLogFormat::Text() {
  AccessLogFormat out;
  for (size_t i = 0; i < std::size(kItems); ++i)
    out.fields_.push_back({kBefore[i], Parse(kItems[i].value), Form::kText});
  out.end_ = "\n";
  return out;
}

AccessLogFormat AccessLogFormat::Json() {
  AccessLogFormat out;
  for (const Item& item : kItems) {
    out.fields_.push_back({fmt::format("{}\"{}\":", out.fields_.empty() ? "{" : ",", item.key),
                           Parse(item.value), IsNumber(item.key) ? Form::kNumber : Form::kString});
  }
  out.end_ = "}\n";
  return out;
}

void AccessLogFormat::AppendField(const Field& field, const route::Facts& facts,
                                  std::string& out) const {
  const size_t begin = out.size();
  switch (field.form) {
    case Form::kText:
      field.value.AppendTo(facts, "-", out);
      EscapeFrom(begin, out);
      return;
    case Form::kNumber:
      field.value.AppendTo(facts, "null", out);
      return;
    case Form::kString: {
      const std::string text = field.value.Text(facts, "");
      if (text.empty())
        out += "null";
      else
        AppendJsonString(text, out);
      return;
    }
  }
}

void AccessLogFormat::Append(const route::Facts& facts, std::string& out) const {
  for (const Field& field : fields_) {
    out += field.before;
    AppendField(field, facts, out);
  }
  out += end_;
}

}  // namespace mesh::filter
