// Authorization and mutual TLS settings as clients feel them: each case applies its resources and
// asks who gets in. Every case holds at least one open and one closed door, so that a policy that
// has not arrived, or was ignored, cannot pass.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/mesh_test.h"
#include "tests/support/objects.h"

namespace mesh::test {
namespace {

// What ztunnel makes of rules by itself: no waypoint is made for those that need HTTP.
const std::string kManifests = R"(
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: none}
---
apiVersion: v1
kind: Namespace
metadata: {name: outside}
---
apiVersion: v1
kind: Namespace
metadata:
  name: other
  labels: {istio.io/dataplane-mode: ambient}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: client, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: guest, namespace: other}
)";

std::string Pod(const std::string& ns, const std::string& name, const std::string& node,
                const std::string& account, bool server) {
  std::string yaml = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
                     ", namespace: " + ns + ", labels: {app: " + name +
                     "}}\nspec:\n  nodeName: " + node + "\n";
  if (!account.empty()) yaml += "  serviceAccountName: " + account + "\n";
  yaml += "  containers:\n";
  if (!server) return yaml + "  - {name: a, image: culvert/meshapp, command: [meshapp, sleep]}\n";
  return yaml +
         "  - {name: a, image: culvert/meshapp, command: [meshapp, serve, --port, \"8080\"]}\n"
         "  - {name: b, image: culvert/meshapp, command: [meshapp, serve, --port, \"8081\"]}\n";
}

std::string Authorization(const std::string& ns, const std::string& name, const std::string& spec,
                          const std::string& annotations = "{}") {
  return "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " +
         name + ", namespace: " + ns + ", annotations: " + annotations + "}\nspec: " + spec + "\n";
}
std::string Rule(const std::string& action, const std::string& rules) {
  return "{action: " + action + ", rules: [" + rules + "]}";
}
std::string From(const std::string& action, const std::string& source) {
  return Rule(action, "{from: [{source: {" + source + "}}]}");
}
std::string To(const std::string& action, const std::string& operation) {
  return Rule(action, "{to: [{operation: {" + operation + "}}]}");
}
std::string Peer(const std::string& ns, const std::string& spec) {
  return "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
         "metadata: {name: peers, namespace: " +
         ns + "}\nspec: " + spec + "\n";
}

struct Case {
  std::string name;
  std::string yaml;
  // "client>near:8080": who may, and who may not.
  std::vector<std::string> open, closed;
};

class Policy : public MeshTest, public testing::WithParamInterface<Case> {
 protected:
  static void SetUpTestSuite() {
    const std::vector<std::string> pods = {"shop/client", "other/guest", "outside/stranger",
                                           "shop/near",   "shop/far",    "other/apart"};
    if (!Up("policy",
            kManifests + Pod("shop", "client", "node-1", "client", false) +
                Pod("other", "guest", "node-1", "guest", false) +
                Pod("outside", "stranger", "node-1", "", false) +
                Pod("shop", "near", "node-1", "", true) + Pod("shop", "far", "node-2", "", true) +
                Pod("other", "apart", "node-2", "", true),
            pods))
      return;
    ips_.clear();  // each suite has a mesh of its own
    for (const std::string& pod : pods) ips_.push_back({pod, mesh_->PodIp(pod)});
    ASSERT_TRUE(Eventually([] {
      for (const char* door : {"client>near:8080", "client>far:8081", "guest>apart:8080",
                               "guest>near:8081", "stranger>far:8080"}) {
        if (Enter(door) != 0) return false;
      }
      return true;
    }));
  }
  void TearDown() override {
    if (!applied_.empty()) EXPECT_EQ(mesh_->Delete(applied_).code, 0);
    // The next case starts from a mesh without rules.
    EXPECT_TRUE(Eventually([] {
      return Enter("stranger>near:8080") == 0 && Enter("stranger>far:8081") == 0 &&
             Enter("client>near:8081") == 0 && Enter("client>far:8080") == 0 &&
             Enter("stranger>apart:8080") == 0;
    }));
  }

  // ns/name and address of the pod called `name`.
  static const std::pair<std::string, std::string>& Find(const std::string& name) {
    for (const auto& entry : ips_) {
      if (entry.first.ends_with("/" + name)) return entry;
    }
    static const std::pair<std::string, std::string> none;
    ADD_FAILURE() << "no pod " << name;
    return none;
  }
  static int Enter(const std::string& door) {
    const size_t arrow = door.find('>'), colon = door.find(':');
    const std::string& ip = Find(door.substr(arrow + 1, colon - arrow - 1)).second;
    return mesh_
        ->Exec(Find(door.substr(0, arrow)).first,
               {"curl", "-sS", "-m", "8", "-o", "/dev/null", "http://" + ip + door.substr(colon)})
        .code;
  }

  // What both nodes said last, for the reader of a failure.
  static std::string Trail() {
    std::string trail;
    for (const char* node : {"node-1", "node-2"}) {
      const std::vector<std::string> lines = Lines(mesh_->ZtunnelLog(node), {"\t"});
      trail += std::string("\n") + node;
      for (size_t i = lines.size() - std::min<size_t>(lines.size(), 12); i < lines.size(); ++i)
        trail += "\n" + lines[i];
    }
    return trail;
  }

  std::string Apply(std::string yaml) {
    for (size_t at; (at = yaml.find("CLIENT_IP")) != std::string::npos;)
      yaml.replace(at, 9, Find("client").second);
    applied_ = yaml;
    const Outcome got = mesh_->Apply(yaml);
    return got.code == 0 ? "" : got.out + got.err;
  }

  std::string applied_;
  inline static std::vector<std::pair<std::string, std::string>> ips_;
};

TEST_P(Policy, Holds) {
  const Case& c = GetParam();
  ASSERT_EQ(Apply(c.yaml), "");
  for (const std::string& door : c.closed) {
    EXPECT_TRUE(Eventually([&] { return Refused(Enter(door)); }))
        << door << " is " << Enter(door) << Trail();
  }
  for (const std::string& door : c.open) {
    EXPECT_TRUE(Eventually([&] { return Enter(door) == 0; }))
        << door << " is " << Enter(door) << Trail();
  }
  // Doors opened while others were tried did not close again.
  for (const std::string& door : c.closed) {
    const int code = Enter(door);
    EXPECT_TRUE(Refused(code)) << door << " is " << code << Trail();
  }
}

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

const std::string kClientId = "cluster.local/ns/shop/sa/client";
const std::vector<std::string> kClientIn = {"client>near:8080", "client>far:8080"};
const std::vector<std::string> kClientOut = {"client>near:8080", "client>far:8080"};
const std::vector<std::string> kGuestIn = {"guest>near:8080", "guest>far:8080"};
const std::vector<std::string> kStrangerIn = {"stranger>near:8080", "stranger>far:8080"};

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<Case> Cases() {
  const auto allow = [](const std::string& source) {
    return Authorization("shop", "rule", From("ALLOW", source));
  };
  const auto deny = [](const std::string& source) {
    return Authorization("shop", "rule", From("DENY", source));
  };
  const auto ports = [](const std::string& action, const std::string& operation) {
    return Authorization("shop", "rule", To(action, operation));
  };
  const std::vector<std::string> a = {"client>near:8080", "stranger>far:8080"};
  const std::vector<std::string> b = {"client>near:8081", "stranger>far:8081"};
  return {
      {"AllowThatMatchesNothingDenies",
       Authorization("shop", "rule", "{}"),
       {"client>apart:8080"},
       kClientOut + kStrangerIn},
      {"DenyComesBeforeAllow",
       Authorization("shop", "first", Rule("ALLOW", "{}")) +
           Authorization("shop", "second", From("DENY", "principals: [" + kClientId + "]")),
       kGuestIn + kStrangerIn, kClientOut},
      {"MeshScope",
       Authorization("istio-system", "rule", From("DENY", "namespaces: [shop]")),
       {"guest>near:8080", "guest>apart:8080"},
       kClientOut + std::vector<std::string>{"client>apart:8080"}},
      {"NamespaceScope",
       deny("namespaces: [shop]"),
       {"client>apart:8080", "guest>near:8080"},
       kClientOut},
      {"WorkloadScope",
       Authorization("shop", "rule",
                     "{selector: {matchLabels: {app: near}}, action: DENY, rules: [{}]}"),
       {"client>far:8080", "stranger>far:8080"},
       {"client>near:8080", "stranger>near:8080"}},
      {"PrincipalExact", allow("principals: [" + kClientId + "]"), kClientIn,
       kGuestIn + kStrangerIn},
      {"PrincipalPrefix", allow("principals: [\"cluster.local/ns/shop/*\"]"), kClientIn,
       kGuestIn + kStrangerIn},
      {"PrincipalSuffix", allow("principals: [\"*/sa/client\"]"), kClientIn,
       kGuestIn + kStrangerIn},
      {"PrincipalPresence", allow("principals: [\"*\"]"), kClientIn + kGuestIn, kStrangerIn},
      {"NotPrincipals", deny("notPrincipals: [" + kClientId + "]"), kClientIn,
       kGuestIn + kStrangerIn},
      {"Namespaces", allow("namespaces: [\"sh*\"]"), kClientIn, kGuestIn + kStrangerIn},
      {"NotNamespaces", deny("notNamespaces: [shop]"), kClientIn, kGuestIn + kStrangerIn},
      {"IpBlocks", deny("ipBlocks: [CLIENT_IP]"), kGuestIn + kStrangerIn, kClientOut},
      {"NotIpBlocks", deny("notIpBlocks: [CLIENT_IP/32]"), kClientIn, kGuestIn + kStrangerIn},
      {"Ports", ports("DENY", "ports: [\"8081\"]"), a, b},
      {"NotPorts", ports("DENY", "notPorts: [\"8081\"]"), b, a},
      {"AllowedPortsAreTheOnlyOnes", ports("ALLOW", "ports: [\"8080\"]"), a, b},
      {"WhenConditions",
       Authorization("shop", "rule",
                     Rule("DENY",
                          "{when: [{key: source.namespace, values: [shop]}, "
                          "{key: destination.port, notValues: [\"8081\"]}]}")),
       {"client>near:8081", "guest>near:8080"},
       kClientOut},
      {"DryRunForbidsNothing",
       Authorization("shop", "dry", Rule("DENY", "{}"), "{istio.io/dry-run: \"true\"}") +
           Authorization("shop", "wet", To("DENY", "ports: [\"8081\"]")),
       a, b},
      {"AllowRuleWithL7FieldsNeverMatches",
       Authorization("shop", "rule", To("ALLOW", "methods: [GET], ports: [\"8080\"]")) +
           Authorization("shop", "second", To("ALLOW", "ports: [\"8081\"]")),
       b, a},
      {"DenyRuleWithL7FieldsAppliesWithoutThem",
       ports("DENY", "methods: [DELETE], ports: [\"8081\"]"), a, b},
      {"StrictInTheMesh", Peer("istio-system", "{mtls: {mode: STRICT}}"),
       kClientIn + std::vector<std::string>{"guest>apart:8080"},
       kStrangerIn + std::vector<std::string>{"stranger>apart:8080"}},
      {"StrictInTheNamespace", Peer("shop", "{mtls: {mode: STRICT}}"),
       kClientIn + std::vector<std::string>{"stranger>apart:8080"}, kStrangerIn},
      {"StrictForOneWorkload",
       Peer("shop", "{selector: {matchLabels: {app: far}}, mtls: {mode: STRICT}}"),
       {"stranger>near:8080", "client>far:8080"},
       {"stranger>far:8080", "stranger>far:8081"}},
      {"StrictWithAPortThatIsNot",
       Peer("shop",
            "{selector: {matchLabels: {app: far}}, mtls: {mode: STRICT}, "
            "portLevelMtls: {8081: {mode: PERMISSIVE}}}"),
       {"stranger>far:8081", "client>far:8080", "client>far:8081"},
       {"stranger>far:8080"}},
      {"PermissiveWithAPortThatIsStrict",
       Peer("shop",
            "{selector: {matchLabels: {app: near}}, mtls: {mode: PERMISSIVE}, "
            "portLevelMtls: {8081: {mode: STRICT}}}"),
       {"stranger>near:8080", "client>near:8081"},
       {"stranger>near:8081"}},
      {"NamespaceOverridesTheMesh",
       Peer("istio-system", "{mtls: {mode: STRICT}}") + Peer("shop", "{mtls: {mode: DISABLE}}"),
       kStrangerIn + kClientIn,
       {"stranger>apart:8080"}},
  };
}

INSTANTIATE_TEST_SUITE_P(Rules, Policy, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

class Probes : public Policy {};

TEST_F(Probes, OfTheKubeletSucceedUnderStrict) {
  const std::string yaml = Peer("shop", "{mtls: {mode: STRICT}}");
  ASSERT_EQ(Apply(yaml), "");
  ASSERT_TRUE(Eventually([] { return Refused(Enter("stranger>near:8080")); }));
  const auto probed = [](const std::string& name, const std::string& probe) {
    return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
           ", namespace: shop}\nspec:\n  nodeName: node-1\n  containers:\n"
           "  - {name: a, image: culvert/meshapp, command: [meshapp, serve, --port, \"8080\"], "
           "readinessProbe: {periodSeconds: 1, " +
           probe + "}}\n";
  };
  const std::string pods = probed("by-http", "httpGet: {path: /, port: 8080}") +
                           probed("by-tcp", "tcpSocket: {port: 8080}") +
                           probed("never", "tcpSocket: {port: 8099}");
  ASSERT_EQ(mesh_->Apply(pods).code, 0);
  const auto ready = [](const std::string& name) {
    const Outcome got = mesh_->Meshctl({"local", "get", "Pod", name, "-n", "shop", "-o", "json"});
    return got.out.find("\"ready\":true") != std::string::npos ||
           got.out.find("\"ready\": true") != std::string::npos;
  };
  EXPECT_TRUE(Eventually([&] { return ready("by-http") && ready("by-tcp"); }))
      << mesh_->Meshctl({"local", "get", "Pod", "by-http", "-n", "shop", "-o", "json"}).out;
  EXPECT_FALSE(ready("never"));  // or the two above prove nothing
  EXPECT_EQ(mesh_->Delete(pods).code, 0);
}

}  // namespace
}  // namespace mesh::test
