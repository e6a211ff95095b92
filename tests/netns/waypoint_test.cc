// The rules of L7, with real requests: client → ztunnel → waypoint → ztunnel → service. The
// waypoint is the one that the controller makes by itself where rules need one.
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <map>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

std::string Version(const std::string& app, const std::string& version, const std::string& node) {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + app + "-" + version +
         ", namespace: shop, labels: {app: " + app + ", version: " + version +
         "}}\nspec:\n  nodeName: " + node +
         "\n  containers:\n  - {name: app, image: culvert/meshapp, command: [meshapp, serve, "
         "--port, "
         "\"8080\", --name, " +
         app + ", --version, " + version + "]}\n";
}
std::string Service(const std::string& app) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + app +
         ", namespace: shop}\nspec: {selector: {app: " + app +
         "}, ports: [{name: http, port: 9080, targetPort: 8080}]}\n";
}

// As it stands in many a tutorial, but for the namespace.
constexpr const char* kCanary = R"(---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
spec:
  hosts:
    - reviews
  http:
    - match:
        - headers:
            x-user-group:
              exact: beta
      route:
        - destination:
            host: reviews
            subset: v2
    - route:
        - destination:
            host: reviews
            subset: v1
          weight: 90
        - destination:
            host: reviews
            subset: v2
          weight: 10
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata:
  name: reviews
  namespace: shop
spec:
  host: reviews
  subsets:
    - name: v1
      labels:
        version: v1
    - name: v2
      labels:
        version: v2
)";

constexpr const char* kRatings = R"(---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: ratings, namespace: shop}
spec:
  hosts: [ratings]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - match: [{uri: {prefix: /teapot}}]
    directResponse: {status: 418, body: {string: short and stout}}
  - match: [{uri: {prefix: /renamed/}}]
    rewrite: {uri: /original/}
    route: [{destination: {host: ratings}}]
  - match: [{uri: {prefix: /broken}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 500}}
    route: [{destination: {host: ratings}}]
  - match: [{uri: {prefix: /late}}]
    fault: {delay: {percentage: {value: 100}, fixedDelay: 1s}}
    route: [{destination: {host: ratings}}]
  - match: [{uri: {exact: /nobody}}]
    route: [{destination: {host: ratings, subset: none}}]
  - match: [{uri: {prefix: /mirrored}}]
    route: [{destination: {host: ratings}}]
    mirror: {host: shadow}
  - match: [{uri: {prefix: /headers}}]
    headers: {request: {set: {x-added: by-route}}, response: {set: {x-answer: "yes"}}}
    route: [{destination: {host: ratings}}]
)";

// payment-policy of the source document, with the namespace of this test.
constexpr const char* kPaymentPolicy = R"(---
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata:
  name: payment-policy
  namespace: shop
spec:
  selector:
    matchLabels:
      app: payment-service
  action: ALLOW
  rules:
    - from:
        - source:
            principals: ["cluster.local/ns/shop/sa/order-service"]
      to:
        - operation:
            methods: ["POST"]
            paths: ["/api/payments/*"]
)";

std::string OrderPod() {
  std::string pod = IdlePod("shop", "order", "node-2");
  const std::string spec = "spec:\n";
  return "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: order-service, namespace: "
         "shop}\n" +
         pod.replace(pod.find(spec), spec.size(), "spec:\n  serviceAccountName: order-service\n");
}

// Says which authority, path and body it was asked with.
constexpr const char* kShadow = R"(---
apiVersion: v1
kind: Pod
metadata: {name: shadow, namespace: shop, labels: {app: shadow}}
spec:
  nodeName: node-2
  containers:
  - name: app
    image: culvert/meshapp
    command:
    - python3
    - -u
    - -c
    - |
      from http.server import *
      class H(BaseHTTPRequestHandler):
          def do_POST(self):
              body = self.rfile.read(int(self.headers['content-length']))
              print('SAW', self.headers['host'], self.path, body.decode(), flush=True)
              self.send_response(500); self.send_header('content-length', '0'); self.end_headers()
      ThreadingHTTPServer(('0.0.0.0', 8080), H).serve_forever()
)";

// Signed with the key of kTokens: HS256, issuer https://issuer.example, subject alice, until 2100.
constexpr const char* kToken =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9uZSJ9."
    "eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYWxpY2UiLCJleHAiOjQxMDI0NDQ4MDB9."
    "Ol2g1ZmnpX22FW6V_Lmdg9TnQo0m7-bXJUBt6hT26-I";
constexpr const char* kTokens = R"(---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: ratings, group: ""}]
  jwtRules:
  - issuer: https://issuer.example
    jwks: '{"keys": [{"kty": "oct", "kid": "one", "alg": "HS256", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}'
)";

class Waypoint : public MeshTest {
 protected:
  static void SetUpTestSuite() {
    if (!Up("waypoint",
            kShopAndOutside + IdlePod("shop", "client", "node-1") + OrderPod() +
                IdlePod("outside", "stranger", "node-1") + Version("reviews", "v1", "node-1") +
                Version("reviews", "v2", "node-2") + Service("reviews") +
                Version("ratings", "v1", "node-2") + Service("ratings") + kShadow +
                Service("shadow") + Version("payment-service", "v1", "node-2") +
                Service("payment-service") + kCanary + kRatings + kPaymentPolicy,
            {"shop/client", "shop/order", "outside/stranger", "shop/reviews-v1", "shop/reviews-v2",
             "shop/ratings-v1", "shop/shadow", "shop/payment-service-v1"})) {
      return;
    }
    for (const char* url : {"http://reviews:9080/", "http://ratings:9080/headers"}) {
      ASSERT_TRUE(Eventually([&] { return Code("shop/client", {url}) == "200"; }))
          << Ask("shop/client", {url}).err << mesh_->Meshctl({"status"}).out;
    }
    ASSERT_TRUE(Eventually([&] { return Pay("shop/order") == "200"; })) << Pay("shop/order");
  }

  static Outcome Ask(const std::string& from, std::vector<std::string> args) {
    std::vector<std::string> words = {"curl", "-sS", "-m", "8"};
    words.insert(words.end(), args.begin(), args.end());
    return mesh_->Exec(from, words);
  }
  // The status alone; what curl said when there was none.
  static std::string Code(const std::string& from, std::vector<std::string> args) {
    args.insert(args.begin(), {"-o", "/dev/null", "-w", "%{http_code}"});
    const Outcome got = Ask(from, std::move(args));
    return got.code == 0 ? got.out : got.err;
  }
  static std::string Pay(const std::string& from, std::vector<std::string> more = {}) {
    more.insert(more.end(), {"-X", "POST", "http://payment-service:9080/api/payments/1"});
    return Code(from, std::move(more));
  }
  // How many of `count` requests each version answered.
  static std::map<std::string, int> Versions(int count, const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"meshapp", "client", "-n", std::to_string(count), "-c", "8"};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back("http://reviews:9080/");
    const std::string out = mesh_->Exec("shop/client", words).out;
    std::map<std::string, int> counts;
    for (const std::string version : {"v1", "v2"}) {
      const size_t at = out.find("version  " + version);
      if (at == std::string::npos) continue;
      const size_t line = out.rfind('\n', at) + 1;
      counts[version] = std::atoi(out.c_str() + line);
    }
    return counts;
  }
  static std::string PodIp(const std::string& pod) {
    const Outcome got = mesh_->Meshctl({"local", "get", "pod", pod, "-n", "shop", "-o", "json"});
    const size_t at = got.out.find("\"podIP\": \"");
    if (at == std::string::npos) return "";
    const size_t from = at + 10;
    return got.out.substr(from, got.out.find('"', from) - from);
  }
};

TEST_F(Waypoint, CanaryShareIsWithinBinomialBounds) {
  constexpr int kRequests = 5000;
  const auto counts = Versions(kRequests);
  ASSERT_EQ(counts.at("v1") + counts.at("v2"), kRequests);
  // Five standard deviations: wrong once in two million runs.
  EXPECT_NEAR(counts.at("v2"), kRequests * 0.1, 5 * std::sqrt(kRequests * 0.1 * 0.9));
}

TEST_F(Waypoint, AHeaderChoosesTheVersion) {
  const auto counts = Versions(200, {"-H", "x-user-group: beta"});
  EXPECT_EQ(counts, (std::map<std::string, int>{{"v2", 200}}));
}

TEST_F(Waypoint, RedirectsAnswersAndRewrites) {
  EXPECT_EQ(Ask("shop/client", {"-o", "/dev/null", "-w", "%{http_code} %{redirect_url}",
                                "http://ratings:9080/old?q=1"})
                .out,
            "301 http://ratings:9080/new?q=1");
  EXPECT_EQ(Ask("shop/client", {"-w", " %{http_code}", "http://ratings:9080/teapot"}).out,
            "short and stout 418");
  EXPECT_NE(Ask("shop/client", {"http://ratings:9080/renamed/x"}).out.find("\"/original/x\""),
            std::string::npos);
}

TEST_F(Waypoint, InjectsFaults) {
  EXPECT_EQ(Ask("shop/client", {"-w", " %{http_code}", "http://ratings:9080/broken"}).out,
            "fault filter abort 500");
  const Outcome late =
      Ask("shop/client", {"-o", "/dev/null", "-w", "%{time_total}", "http://ratings:9080/late"});
  EXPECT_GE(std::atof(late.out.c_str()), 1.0) << late.out << late.err;
}

TEST_F(Waypoint, HeaderOperationsReachBothSides) {
  const Outcome got = Ask("shop/client", {"-i", "http://ratings:9080/headers"});
  EXPECT_NE(got.out.find("\"x-added\":\"by-route\""), std::string::npos) << got.out;
  EXPECT_NE(got.out.find("x-answer: yes"), std::string::npos) << got.out;
}

TEST_F(Waypoint, MirrorsGetACopyAndNobodyWaitsForTheirAnswer) {
  EXPECT_EQ(Code("shop/client", {"-d", "twice", "http://ratings:9080/mirrored"}), "200");
  const auto seen = [] {
    return mesh_->Meshctl({"local", "logs", "-n", "shop", "shadow"})
               .out.find("SAW ratings-shadow:9080 /mirrored twice") != std::string::npos;
  };
  EXPECT_TRUE(Eventually(seen)) << mesh_->Meshctl({"local", "logs", "-n", "shop", "shadow"}).out;
}

TEST_F(Waypoint, NoRouteAndNoClusterSayWhich) {
  EXPECT_EQ(Code("shop/client", {"http://ratings:9080/unknown"}), "404");
  EXPECT_EQ(Code("shop/client", {"http://ratings:9080/nobody"}), "503");
}

TEST_F(Waypoint, SpeaksHttp2ToClients) {
  EXPECT_EQ(Ask("shop/client",
                {"--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
                 "-d", "some body", "http://reviews:9080/"})
                .out,
            "2 200");
}

TEST_F(Waypoint, BodiesPassWholeBothWays) {
  // What was received is counted by the application.
  const Outcome got =
      mesh_->Exec("shop/client", {"sh", "-c",
                                  "head -c 3000000 /dev/zero | curl -sS -m 20 --data-binary @- "
                                  "-H 'content-type: text/plain' http://reviews:9080/"});
  EXPECT_NE(got.out.find("\"received_bytes\":3000000"), std::string::npos) << got.out << got.err;
}

TEST_F(Waypoint, PaymentPolicyLetsOnlyOrderServicePostPayments) {
  EXPECT_EQ(Pay("shop/order"), "200");
  EXPECT_EQ(Pay("shop/client"), "403");
  EXPECT_EQ(Code("shop/order", {"http://payment-service:9080/api/payments/1"}), "403");  // GET
  EXPECT_EQ(Code("shop/order", {"-X", "POST", "http://payment-service:9080/api/payments"}), "403");
  EXPECT_EQ(Ask("shop/client", {"-X", "POST", "http://payment-service:9080/api/payments/1"}).out,
            "RBAC: access denied");
}

TEST_F(Waypoint, NobodyGetsAroundAnL7Policy) {
  const std::string pod = PodIp("payment-service-v1");
  ASSERT_NE(pod, "");
  const std::string by_address = "http://" + pod + ":8080/api/payments/1";
  // By the pod's address, from the mesh, with and without the right to it, and from outside it.
  EXPECT_EQ(Code("shop/client", {"-X", "POST", by_address}), "403");
  EXPECT_EQ(Code("shop/order", {"-X", "POST", by_address}), "200");
  const Outcome stranger = Ask("outside/stranger", {"-X", "POST", by_address});
  EXPECT_TRUE(Refused(stranger.code)) << stranger.code << stranger.out << stranger.err;
  // By naming another authority, another case, or a path that only looks different.
  EXPECT_EQ(Pay("shop/client", {"-H", "Host: reviews:9080"}), "403");
  for (const char* path : {"/api//payments/../payments/1", "/api/payments/%2e%2e/payments/1",
                           "/./api/payments/1", "/api/payments%2f1"}) {
    EXPECT_EQ(Code("shop/client", {"--path-as-is", "-X", "POST",
                                   std::string("http://payment-service:9080") + path}),
              "403")
        << path;
  }
}

TEST_F(Waypoint, TokensAreBelievedOrRefused) {
  ASSERT_EQ(mesh_->Apply(kTokens).code, 0);
  const auto with = [](const std::string& token) {
    return Code("shop/client",
                {"-H", "Authorization: Bearer " + token, "http://ratings:9080/headers"});
  };
  std::string forged = kToken;
  forged.back() = forged.back() == 'A' ? 'E' : 'A';
  EXPECT_TRUE(Eventually([&] { return with(forged) == "401"; })) << with(forged);
  EXPECT_EQ(with(kToken), "200");
  EXPECT_EQ(with("no.token.atall"), "401");
  EXPECT_EQ(Code("shop/client", {"http://ratings:9080/headers"}), "200");  // none is no wrong one
}

TEST_F(Waypoint, AKilledWaypointComesBackAndNothingGoesAroundIt) {
  const std::string before = mesh_->Meshctl({"local", "ps"}).out;
  ASSERT_NE(before.find("waypoint-"), std::string::npos) << before;
  const size_t at = before.find("waypoint-");
  const std::string pod = before.substr(at, before.find(' ', at) - at);
  ASSERT_EQ(mesh_->Exec("shop/" + pod, {"sh", "-c", "kill -9 $(pidof waypoint) || true"}).code, 0);
  // Until it is back nobody is let in who was not before.
  for (int i = 0; i < 20; ++i) EXPECT_NE(Pay("shop/client"), "200");
  EXPECT_TRUE(Eventually([&] { return Pay("shop/order") == "200"; })) << Pay("shop/order");
  EXPECT_EQ(Pay("shop/client"), "403");
}

}  // namespace
}  // namespace mesh::test
