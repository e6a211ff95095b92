#include "ztunnel/waypoint/route/l4_routes.h"

#include <map>

#include "ztunnel/waypoint/route/for_test.h"

namespace mesh::route {
namespace {

ConnectionView To(const char* destination, std::string_view sni = {}) {
  return {.destination = *IpAddress::Parse(destination), .sni = sni, .source_namespace = {}};
}

std::string Found(const L4Routes& routes, const ConnectionView& connection) {
  const L4Route* route = routes.Find(connection);
  return route == nullptr ? "" : route->backends[0].cluster;
}

TEST(L4Routes, TlsIsChosenByServerNameBeforeTcp) {
  const auto table = TableOf(
      "tcp_routes { backends { cluster: 'tcp' } }"
      "tls_routes { matches { sni_hosts: 'a.example' sni_hosts: '*.B.example' }"
      "  backends { cluster: 'named' } }"
      "tls_routes { matches { sni_hosts: '*' l4 { source_namespace: 'shop' } }"
      "  backends { cluster: 'shop' } }");
  const L4Routes& routes = table->l4();
  EXPECT_EQ(Found(routes, To("10.0.0.1", "a.example")), "named");
  EXPECT_EQ(Found(routes, To("10.0.0.1", "A.EXAMPLE")), "named");
  EXPECT_EQ(Found(routes, To("10.0.0.1", "x.y.b.example")), "named");
  EXPECT_EQ(Found(routes, To("10.0.0.1", "b.example")), "tcp");
  EXPECT_EQ(Found(routes, To("10.0.0.1", ".b.example")), "tcp");
  EXPECT_EQ(Found(routes, To("10.0.0.1")), "tcp");
  ConnectionView shop = To("10.0.0.1", "other");
  shop.source_namespace = "shop";
  EXPECT_EQ(Found(routes, shop), "shop");
  shop.sni = "";  // a wildcard wants a name
  EXPECT_EQ(Found(routes, shop), "tcp");
}

TEST(L4Routes, TcpMatchesSubnetsNamespaceAndLabels) {
  const auto table = TableOf(
      "tcp_routes { matches { destinations { address: '\\012\\001\\000\\000' length: 16 }"
      "  source_namespace: 'shop' source_labels { key: 'app' value: 'a' } }"
      "  matches { destinations { address: '\\012\\002\\000\\001' length: 32 } }"
      "  backends { cluster: 'x' } }");
  const Labels labels{{"app", "a"}};
  ConnectionView c = To("10.1.2.3");
  EXPECT_EQ(Found(table->l4(), c), "");
  c.source_namespace = "shop";
  EXPECT_EQ(Found(table->l4(), c), "");
  c.source_labels = &labels;
  EXPECT_EQ(Found(table->l4(), c), "x");
  c.destination = *IpAddress::Parse("10.3.0.1");
  EXPECT_EQ(Found(table->l4(), c), "");
  EXPECT_EQ(Found(table->l4(), To("10.2.0.1")), "x");
  EXPECT_EQ(Found(table->l4(), To("::a02:1")), "");  // not that IPv4 address
}

TEST(L4Routes, WeightsCountByConnection) {
  const auto table = TableOf(
      "tcp_routes { backends { cluster: 'a' weight: 1 } backends { cluster: 'b' weight: 3 } }");
  std::map<std::string, int> seen;
  for (uint64_t random = 0; random < 100; ++random)
    ++seen[ChooseBackend(table->l4().tcp[0], random).cluster];
  EXPECT_EQ(seen, (std::map<std::string, int>{{"a", 25}, {"b", 75}}));
}

TEST(L4Routes, RefusalsNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"tls_routes { backends { } }", "tls_routes[0]: matches: none"},
      {"tls_routes { matches { } backends { } }", "tls_routes[0]: matches[0]: sni_hosts: none"},
      {"tls_routes { matches { sni_hosts: 'a*' } backends { } }", "matches[0]: sni_hosts[0]"},
      {"tcp_routes { }", "tcp_routes[0]: backends: none"},
      {"tcp_routes { backends { } backends { } }", "weights sum to 0"},
      {"tcp_routes { matches { destinations { address: 'abc' } } backends { } }",
       "matches[0]: destinations[0]: an address of 3 bytes"},
      {"tcp_routes { matches { destinations { address: 'abcd' length: 33 } } backends { } }",
       "length 33"},
  };
  for (const auto& [text, field] : cases)
    EXPECT_NE(RefusalOf(text).find(field), std::string::npos) << RefusalOf(text);
}

}  // namespace
}  // namespace mesh::route
