// Whatever a control plane sends as a Frontend or a Policy is refused, or compiled into something
// that answers every request. The first byte picks which.
#include <cstdint>
#include <string>

#include "proto/l7_frontend.pb.h"
#include "proto/l7_policy.pb.h"
#include "ztunnel/waypoint/filter/authz.h"
#include "ztunnel/waypoint/route/actions.h"
#include "ztunnel/waypoint/route/route_table.h"

namespace {

using namespace mesh;

void Act(const route::Route& route, const route::RequestView& view, http::RequestHead head) {
  route::Facts facts;
  facts.request = &head;
  http::HeaderMap answer;
  if (const route::Forward* forward = route.forward()) {
    const route::Backend& backend = route::ChooseBackend(*forward, view.target.size());
    route::PrepareUpstream(route, backend, facts, head);
    if (!head.path.starts_with('/') && head.path != "*") __builtin_trap();
    route::FinishResponse(route, &backend, facts, answer);
    const auto plan = route::PlanRetries(forward->retry ? &*forward->retry : nullptr, head.headers);
    route::Retriable(plan, {.status = 503, .headers = &answer});
    route::RetryDelay(plan.back_off(), 3, 12345);
  } else if (const auto* redirect = std::get_if<route::Redirect>(&route.action)) {
    const auto response = route::RedirectResponse(route, *redirect, view, 80);
    if (!response.headers.Has("location")) __builtin_trap();
  }
  route::FinishResponse(route, nullptr, facts, answer);
  if (route.cors) route::CheckCors(*route.cors, view);
  if (route.fault) route::DecideFault(*route.fault, 1, 2);
}

void FuzzFrontend(const std::string& bytes) {
  l7::v1::Frontend frontend;
  if (!frontend.ParseFromString(bytes)) return;
  const auto table = route::RouteTable::Compile(frontend);
  if (!table.ok()) return;
  http::RequestHead head;
  head.scheme = "http";
  head.headers.Add("origin", "https://a");
  head.headers.Add("access-control-request-method", "PUT");
  const route::Labels labels{{"app", "a"}};
  for (const char* method : {"GET", "OPTIONS"}) {
    for (const char* path : {"/", "*", "/a/b?q=1", "/api/payments/1"}) {
      head.method = method;
      head.path = path;
      head.authority = path[0] == '*' ? "" : "reviews:9080";
      route::RequestView view(head.method, head.scheme, head.authority, head.path, head.headers);
      view.source_labels = &labels;
      if (const route::Route* route = (*table)->Find(view)) Act(*route, view, head);
    }
  }
  for (const route::Route& route : (*table)->routes()) {
    const std::string path = "/a/b";
    Act(route, route::RequestView("GET", "http", "h:1", path, head.headers), head);
  }
  const route::ConnectionView connection{
      .destination = {}, .sni = "a.example", .source_namespace = {}};
  if (const auto* found = (*table)->l4().Find(connection)) route::ChooseBackend(*found, 7);
}

void FuzzPolicy(const std::string& bytes) {
  l7::v1::Policy proto;
  if (!proto.ParseFromString(bytes)) return;
  const auto policy = filter::CompilePolicy(proto);
  if (!policy.ok()) return;
  http::HeaderMap headers;
  headers.Add("a", "1");
  const route::RequestView view("GET", "http", "reviews:9080", "/a/b?q", headers);
  filter::Token token;
  token.issuer = "https://i";
  token.subject = "s";
  token.audiences = {"a"};
  (*token.claims.mutable_fields())["a"].set_string_value("b");
  filter::RequestAttributes request;
  request.source = {"cluster.local/ns/a/sa/b", "cluster.local", "a", "b"};
  request.destination_port = 80;
  const filter::PolicySet set({*policy});
  for (const auto* http : {&view, static_cast<const route::RequestView*>(nullptr)}) {
    for (const filter::Token* with :
         {static_cast<const filter::Token*>(&token), static_cast<const filter::Token*>(nullptr)}) {
      request.request = http;
      request.token = with;
      const filter::Verdict verdict = filter::Check(set, request);
      if (verdict.Detail().empty()) __builtin_trap();
      if (!proto.deny_everything().empty() && !proto.dry_run() && verdict.allowed) __builtin_trap();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0)
    FuzzFrontend(bytes);
  else
    FuzzPolicy(bytes);
  return 0;
}
