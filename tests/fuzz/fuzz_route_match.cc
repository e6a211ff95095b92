// Any request against a table with every kind of match: the index must find what a look at each
// route in turn finds, and what the route does must leave heads that HTTP allows. The input is a
// request: method, authority and target in the first line, then lines "name:value".
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proto/l7_frontend.pb.h"
#include "ztunnel/waypoint/route/actions.h"
#include "ztunnel/waypoint/route/route_table.h"

namespace {

using namespace mesh;
using Table = std::shared_ptr<const route::RouteTable>;

l7::v1::Route& Add(l7::v1::Frontend& frontend) {
  l7::v1::Route& route = *frontend.add_routes();
  l7::v1::Forward& forward = *route.mutable_forward();
  forward.add_backends()->set_cluster("c");
  auto& set = *route.mutable_request_headers()->add_set();
  set.set_name("x-copy");
  set.set_value("%REQ(a)%-%REQ(:path)%");
  return route;
}

l7::v1::Frontend EveryKind() {
  l7::v1::Frontend frontend;
  for (const char* path : {"/a", "/a/b", "/api"}) {
    auto& exact = Add(frontend);
    auto& match = *exact.add_matches();
    match.mutable_path()->set_exact(path);
    match.mutable_method()->set_exact("GET");
    auto& segment = Add(frontend);
    segment.mutable_forward()->mutable_rewrite()->set_prefix("/");
    segment.add_matches()->mutable_path()->set_segment_prefix(path);
    segment.mutable_matches(0)->mutable_authority()->set_prefix("r");
    auto& prefix = Add(frontend);
    prefix.mutable_forward()->mutable_rewrite()->set_prefix("/x");
    prefix.add_matches()->mutable_path()->set_prefix(path);
    auto* named = prefix.mutable_matches(0)->add_query();
    named->set_name("q");
    named->mutable_match()->set_prefix("1");
  }
  for (int i = 0; i < 20; ++i) {
    auto& by_header = Add(frontend);
    auto* header = by_header.add_matches()->add_headers();
    header->set_name(i % 2 == 0 ? "a" : "b");
    header->mutable_match()->set_exact(std::to_string(i));
  }
  auto& regex = Add(frontend);
  regex.add_matches()->mutable_path()->set_regex("/v[0-9]+/.*");
  auto& rewrite = *regex.mutable_forward()->mutable_rewrite()->mutable_regex();
  rewrite.set_match("/v([0-9]+)/");
  rewrite.set_substitution("/\\1\\1/");
  Add(frontend).add_matches()->mutable_path()->set_template_("/{*}/z/{**}");
  auto& folded = Add(frontend);
  folded.add_matches()->mutable_path()->set_prefix("/FOLD");
  folded.mutable_matches(0)->mutable_path()->set_ignore_case(true);
  Add(frontend).add_matches()->mutable_path()->set_suffix(".png");
  return frontend;
}

Table Compile(const l7::v1::Frontend& frontend) {
  auto table = route::RouteTable::Compile(frontend);
  if (!table.ok()) __builtin_trap();
  return *table;
}

struct Tables {
  Table all;
  std::vector<Table> single;

  Tables() {
    const l7::v1::Frontend frontend = EveryKind();
    all = Compile(frontend);
    for (const auto& route : frontend.routes()) {
      l7::v1::Frontend one;
      *one.add_routes() = route;
      single.push_back(Compile(one));
    }
  }
  // Index of the first that takes it; their number for none.
  size_t Scan(const route::RequestView& view) const {
    for (size_t i = 0; i < single.size(); ++i)
      if (single[i]->Find(view) != nullptr) return i;
    return single.size();
  }
};

std::string_view TakeUntil(std::string_view& text, char end) {
  const size_t at = std::min(text.find(end), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

http::RequestHead HeadOf(std::string_view text) {
  http::RequestHead head;
  std::string_view first = TakeUntil(text, '\n');
  head.method = TakeUntil(first, ' ');
  head.authority = TakeUntil(first, ' ');
  head.path = first;
  head.scheme = "http";
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    const std::string_view name = TakeUntil(line, ':');
    if (http::IsFieldValue(line)) head.headers.AddFromWire(name, line);
  }
  return head;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tables tables;
  http::RequestHead head = HeadOf({reinterpret_cast<const char*>(data), size});
  const route::RequestView view(head.method, head.scheme, head.authority, head.path, head.headers);
  const route::Route* found = tables.all->Find(view);
  const size_t scanned = tables.Scan(view);
  const size_t index = found == nullptr ? tables.single.size()
                                        : static_cast<size_t>(found - tables.all->routes().data());
  if (index != scanned) __builtin_trap();
  if (found == nullptr) return 0;
  http::RequestHead upstream = head;
  route::Facts facts;
  facts.request = &head;
  route::PrepareUpstream(*found, found->forward()->backends[0], facts, upstream);
  if (upstream.path != head.path && !upstream.path.starts_with('/')) __builtin_trap();
  for (size_t i = 0; i < upstream.headers.size(); ++i) {
    const auto& [name, value] = upstream.headers[i];
    if (name == "x-copy" && !http::IsFieldValue(value)) __builtin_trap();
  }
  route::ShadowAuthority(head.authority);
  route::PlanRetries(nullptr, upstream.headers);
  route::TimeoutsOf(std::nullopt, nullptr, upstream.headers);
  return 0;
}
