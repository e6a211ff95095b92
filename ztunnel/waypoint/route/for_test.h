// Frontends as text, and requests in one line.
#pragma once

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "proto/l7_frontend.pb.h"
#include "ztunnel/waypoint/route/route_table.h"

namespace mesh::route {

template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

inline std::shared_ptr<const RouteTable> TableOf(const std::string& text) {
  auto table = RouteTable::Compile(FromText<l7::v1::Frontend>(text));
  EXPECT_TRUE(table.ok()) << table.status();
  return table.ok() ? *table : nullptr;
}

// Why the Frontend is refused.
inline std::string RefusalOf(const std::string& text) {
  const auto table = RouteTable::Compile(FromText<l7::v1::Frontend>(text));
  EXPECT_FALSE(table.ok()) << text;
  EXPECT_EQ(table.status().code(), absl::StatusCode::kInvalidArgument);
  return table.ok() ? "" : std::string(table.status().message());
}

struct TestRequest {
  std::string method = "GET", scheme = "http", authority = "reviews:9080", target = "/";
  http::HeaderMap headers;
  std::string source_namespace;
  Labels labels;

  TestRequest() = default;
  explicit TestRequest(std::string target) : target(std::move(target)) {}
  TestRequest& With(std::string_view name, std::string_view value) {
    headers.Add(name, value);
    return *this;
  }
  RequestView view() const {
    RequestView out(method, scheme, authority, target, headers);
    out.source_namespace = source_namespace;
    out.source_labels = &labels;
    return out;
  }
};

// The name of the route that takes the request; "" for none.
inline std::string NameOf(const RouteTable& table, const TestRequest& request) {
  const Route* route = table.Find(request.view());
  return route == nullptr ? "" : route->name;
}

// A Frontend of routes that answer 200, each named after its place ("0", "1", ...).
inline std::string RoutesOf(const std::vector<std::string>& matches) {
  std::string out;
  for (size_t i = 0; i < matches.size(); ++i) {
    out += "routes { name: \"" + std::to_string(i) + "\" direct_response { status: 200 } " +
           matches[i] + " }\n";
  }
  return out;
}

}  // namespace mesh::route
