// The whole controller in this process, spoken to over TLS as a node proxy speaks.
#include "agent/controller/controller.h"

#include <absl/strings/escaping.h>
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <openssl/ecdsa.h>
#include <sys/eventfd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/controller/ca/openssl_ptr.h"
#include "proto/ca.grpc.pb.h"
#include "proto/discovery.grpc.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::controller {
namespace {

namespace fs = std::filesystem;
namespace xds = envoy::service::discovery::v3;

constexpr char kAddress[] = "type.googleapis.com/istio.workload.Address";
constexpr char kAuthorization[] = "type.googleapis.com/istio.security.Authorization";

std::string Base64Url(std::string_view bytes) {
  std::string text;
  absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size()), &text);
  while (!text.empty() && text.back() == '=') text.pop_back();
  return text;
}

std::string SignEs256(EVP_PKEY* key, const std::string& text) {
  const DigestPtr context(EVP_MD_CTX_new());
  size_t size = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(text.data());
  EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key);
  EVP_DigestSign(context.get(), nullptr, &size, data, text.size());
  std::string der(size, '\0');
  EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(der.data()), &size, data,
                 text.size());
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size));
  std::string raw(64, '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(pair), reinterpret_cast<unsigned char*>(raw.data()), 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(pair), reinterpret_cast<unsigned char*>(raw.data()) + 32, 32);
  ECDSA_SIG_free(pair);
  return raw;
}

std::string MakeToken(EVP_PKEY* key, const std::string& node, int64_t lifetime = 3600,
                      const std::string& audience = "istio-ca") {
  const std::string head = Base64Url(R"({"alg":"ES256","typ":"JWT"})");
  const std::string body = Base64Url(fmt::format(
      R"({{"iss":"kubernetes/serviceaccount","aud":["{}"],"exp":{},)"
      R"("sub":"system:serviceaccount:istio-system:ztunnel","kubernetes.io":{{"namespace":"istio-system",)"
      R"("serviceaccount":{{"name":"ztunnel"}},"pod":{{"name":"ztunnel-{}","uid":"u"}},)"
      R"("node":{{"name":"{}"}}}}}})",
      audience, absl::ToUnixSeconds(absl::Now()) + lifetime, node, node));
  return head + "." + body + "." + Base64Url(SignEs256(key, head + "." + body));
}

std::string MakeCsr(const std::string& spiffe) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const RequestPtr request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), key.get());
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  const std::string san = "critical,URI:" + spiffe;
  sk_X509_EXTENSION_push(extensions,
                         X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, san.c_str()));
  X509_REQ_add_extensions(request.get(), extensions);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_sign(request.get(), key.get(), EVP_sha256());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), request.get());
  return TextOf(bio.get());
}

std::string SanOf(const std::string& pem) {
  const BioPtr bio = ReadBio(pem);
  const CertPtr cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(cert.get(), NID_subject_alt_name, nullptr, nullptr));
  std::string all;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    all += reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier));
  }
  GENERAL_NAMES_free(names);
  return all;
}

std::string PodYaml(const std::string& name, const std::string& node, const std::string& ip) {
  return fmt::format(
      "apiVersion: v1\nkind: Pod\nmetadata: {{name: {0}, namespace: shop, labels: {{app: {0}}}}}\n"
      "spec: {{serviceAccountName: {0}, nodeName: {1}, containers: [{{name: app, image: x}}]}}\n"
      "status: {{phase: Running, podIP: {2}, conditions: [{{type: Ready, status: "
      "'True'}}]}}\n---\n",
      name, node, ip);
}

class ControllerTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / fmt::format("controller_{}", ::getpid());
    fs::remove_all(root_);
    fs::create_directories(root_ / "manifests");
    fs::create_directories(root_ / "patch");
    key_.reset(EVP_EC_gen("P-256"));
    const BioPtr bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PUBKEY(bio.get(), key_.get());
    Write("sa.pub", TextOf(bio.get()));
    Write("manifests/pods.yaml", PodYaml("a", "n1", "10.0.0.1") + PodYaml("b", "n2", "10.0.0.2"));
    StartController();
  }
  void TearDown() override {
    StopController();
    fs::remove_all(root_);
  }

  ControllerOptions Options() const {
    ControllerOptions options;
    options.source_directories = {root_ / "manifests", root_ / "patch"};
    options.record_directory = root_ / "record";
    options.status_directory = root_ / "patch";
    options.xds_address = "127.0.0.1:0";
    options.http_address = "127.0.0.1:0";
    options.ca_directory = root_ / "ca";
    options.root_cert_out = root_ / "root-cert.pem";
    options.token_key_file = root_ / "sa.pub";
    return options;
  }
  void StartController() {
    auto controller = Controller::Start(Options());
    ASSERT_TRUE(controller.ok()) << Describe(controller.status());
    controller_ = *std::move(controller);
    stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
    thread_ = std::thread([this] { controller_->Run(stop_.get()); });
    grpc::SslCredentialsOptions ssl{.pem_root_certs = ReadFileOr(root_ / "root-cert.pem"),
                                    .pem_private_key = "",
                                    .pem_cert_chain = ""};
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("istiod.istio-system.svc");
    channel_ = grpc::CreateCustomChannel(fmt::format("127.0.0.1:{}", controller_->xds_port()),
                                         grpc::SslCredentials(ssl), arguments);
  }
  void StopController() {
    if (!thread_.joinable()) return;
    const uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    thread_.join();
    controller_.reset();
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / (name + ".tmp")) << text;
    fs::rename(root_ / (name + ".tmp"), root_ / name);
  }

  grpc::Status Sign(const std::string& token, const std::string& identity,
                    istio::v1::auth::IstioCertificateResponse& response, int64_t seconds = 60) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + token);
    istio::v1::auth::IstioCertificateRequest request;
    request.set_csr(MakeCsr("spiffe://cluster.local/ns/evil/sa/evil"));
    request.set_validity_duration(seconds);
    (*request.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(
        identity);
    return istio::v1::auth::IstioCertificateService::NewStub(channel_)->CreateCertificate(
        &context, request, &response);
  }

  fs::path root_;
  KeyPtr key_;
  std::unique_ptr<Controller> controller_;
  UniqueFd stop_;
  std::thread thread_;
  std::shared_ptr<grpc::Channel> channel_;
};

class Client {
 public:
  Client(const std::shared_ptr<grpc::Channel>& channel, const std::string& token)
      : stub_(xds::AggregatedDiscoveryService::NewStub(channel)) {
    context_.AddMetadata("authorization", "Bearer " + token);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    stream_ = stub_->DeltaAggregatedResources(&context_);
  }
  ~Client() {
    context_.TryCancel();
    if (!finished_) stream_->Finish();
  }
  void Subscribe(const char* type, std::map<std::string, std::string> versions = {}) {
    xds::DeltaDiscoveryRequest request;
    request.mutable_node()->set_id("ztunnel~1.1.1.1~z.istio-system~istio-system.svc.cluster.local");
    request.set_type_url(type);
    request.mutable_initial_resource_versions()->insert(versions.begin(), versions.end());
    EXPECT_TRUE(stream_->Write(request));
  }
  xds::DeltaDiscoveryResponse Read() {
    xds::DeltaDiscoveryResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    xds::DeltaDiscoveryRequest ack;
    ack.set_type_url(response.type_url());
    ack.set_response_nonce(response.nonce());
    stream_->Write(ack);
    return response;
  }
  grpc::Status Finish() {
    finished_ = true;
    return stream_->Finish();
  }

 private:
  bool finished_ = false;
  grpc::ClientContext context_;
  std::unique_ptr<xds::AggregatedDiscoveryService::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<xds::DeltaDiscoveryRequest, xds::DeltaDiscoveryResponse>>
      stream_;
};

TEST_F(ControllerTest, ServesResourcesAndPushesChanges) {
  Client client(channel_, MakeToken(key_.get(), "n1"));
  client.Subscribe(kAddress);
  auto response = client.Read();
  ASSERT_EQ(response.resources_size(), 2);
  EXPECT_EQ(response.resources(0).name(), "Kubernetes//Pod/shop/a");
  client.Subscribe(kAuthorization);
  EXPECT_EQ(client.Read().resources_size(), 0);

  const absl::Time before = absl::Now();
  Write("manifests/c.yaml", PodYaml("c", "n1", "10.0.0.3"));
  response = client.Read();
  EXPECT_LT(absl::Now() - before, absl::Seconds(1));
  ASSERT_EQ(response.resources_size(), 1);
  EXPECT_EQ(response.resources(0).name(), "Kubernetes//Pod/shop/c");
  fs::remove(root_ / "manifests/c.yaml");
  response = client.Read();
  ASSERT_EQ(response.removed_resources_size(), 1);
  EXPECT_EQ(response.removed_resources(0), "Kubernetes//Pod/shop/c");

  Write("manifests/deny.yaml",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny, "
        "namespace: shop}\nspec: {action: DENY, rules: [{to: [{operation: {ports: ['80']}}]}]}\n");
  response = client.Read();
  ASSERT_EQ(response.resources_size(), 1);
  EXPECT_EQ(response.resources(0).name(), "shop/deny");
  const fs::path status = root_ / "patch/status_authorizationpolicy_shop_deny.patch.json";
  for (int i = 0; i < 100 && !fs::exists(status); ++i) absl::SleepFor(absl::Milliseconds(20));
  EXPECT_NE(ReadFileOr(status).find("ZtunnelAccepted"), std::string::npos);
}

// The user's file stays as it is; what is wrong with it is told beside it.
TEST_F(ControllerTest, ARefusedObjectSaysSoAndItsLastGoodVersionStays) {
  const auto policy = [](const char* port) {
    return fmt::format(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: deny, "
        "namespace: shop}}\nspec: {{action: DENY, rules: [{{to: [{{operation: {{ports: "
        "['{}']}}}}]}}]}}\n",
        port);
  };
  const fs::path status = root_ / "patch/status_authorizationpolicy_shop_deny.patch.json";
  const auto wait = [&status](std::string_view text, bool there) {
    for (int i = 0; i < 250; ++i) {
      if ((ReadFileOr(status).find(text) != std::string::npos) == there) return true;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return false;
  };
  Write("manifests/deny.yaml", policy("80"));
  ASSERT_TRUE(wait("ZtunnelAccepted", true));
  EXPECT_TRUE(wait("Valid", false));
  Client client(channel_, MakeToken(key_.get(), "n1"));
  client.Subscribe(kAuthorization);
  EXPECT_EQ(client.Read().resources_size(), 1);

  Write("manifests/deny.yaml", policy("eighty"));
  ASSERT_TRUE(wait("\"Invalid\"", true)) << ReadFileOr(status);
  EXPECT_TRUE(wait("deny.yaml:4: spec.rules[0].to[0].operation.ports[0]", true))
      << ReadFileOr(status);
  EXPECT_TRUE(wait("eighty", true));
  EXPECT_TRUE(wait("The last good version stays in force", true));
  EXPECT_TRUE(wait("ZtunnelAccepted", true)) << "of the version in force";

  Write("manifests/deny.yaml", policy("81"));
  EXPECT_TRUE(wait("Valid", false)) << ReadFileOr(status);
  const auto response = client.Read();
  ASSERT_EQ(response.resources_size(), 1) << "nothing was said of the bad one";
  EXPECT_EQ(response.resources(0).name(), "shop/deny");
  EXPECT_EQ(response.removed_resources_size(), 0);

  Write("manifests/deny.yaml", policy("eighty"));
  ASSERT_TRUE(wait("\"Invalid\"", true));
  fs::remove(root_ / "manifests/deny.yaml");
  for (int i = 0; i < 250 && fs::exists(status); ++i) absl::SleepFor(absl::Milliseconds(20));
  EXPECT_FALSE(fs::exists(status));
}

TEST_F(ControllerTest, ReconnectSendsWhatDiffersAndRemovesWhatIsGone) {
  std::map<std::string, std::string> versions;
  {
    Client client(channel_, MakeToken(key_.get(), "n1"));
    client.Subscribe(kAddress);
    const auto response = client.Read();
    for (const auto& resource : response.resources())
      versions[resource.name()] = resource.version();
  }
  StopController();
  Write("manifests/pods.yaml", PodYaml("b", "n2", "10.0.0.2") + PodYaml("d", "n2", "10.0.0.4"));
  StartController();
  Client client(channel_, MakeToken(key_.get(), "n1"));
  client.Subscribe(kAddress, versions);
  const auto response = client.Read();
  ASSERT_EQ(response.resources_size(), 1);
  EXPECT_EQ(response.resources(0).name(), "Kubernetes//Pod/shop/d");
  ASSERT_EQ(response.removed_resources_size(), 1);
  EXPECT_EQ(response.removed_resources(0), "Kubernetes//Pod/shop/a");
}

TEST_F(ControllerTest, ABrokenManifestIsNoRemovalAfterARestart) {
  std::map<std::string, std::string> versions;
  {
    Client client(channel_, MakeToken(key_.get(), "n1"));
    client.Subscribe(kAddress);
    const auto response = client.Read();
    for (const auto& resource : response.resources())
      versions[resource.name()] = resource.version();
  }
  ASSERT_EQ(versions.size(), 2u);
  StopController();
  Write("manifests/pods.yaml", "kind: [");
  StartController();
  {
    Client client(channel_, MakeToken(key_.get(), "n1"));
    client.Subscribe(kAddress, versions);
    Write("manifests/c.yaml", PodYaml("c", "n1", "10.0.0.3"));
    for (bool seen = false; !seen;) {
      const auto response = client.Read();
      EXPECT_EQ(response.removed_resources_size(), 0);
      seen = response.resources_size() == 1;
    }
  }
  StopController();
  // Nobody knows any more what the broken file held.
  for (const auto& entry : fs::directory_iterator(root_ / "record")) {
    std::ofstream(entry.path()) << "{";
  }
  EXPECT_EQ(Controller::Start(Options()).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ControllerTest, StreamsNeedAToken) {
  for (const std::string& token : {std::string("x.y.z"), MakeToken(key_.get(), "n1", -3600),
                                   MakeToken(key_.get(), "n1", 3600, "other")}) {
    Client client(channel_, token);
    EXPECT_EQ(client.Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
}

TEST_F(ControllerTest, SignsForPodsOfTheCallersNodeAlone) {
  istio::v1::auth::IstioCertificateResponse response;
  const std::string token = MakeToken(key_.get(), "n1");
  grpc::Status status = Sign(token, "spiffe://cluster.local/ns/shop/sa/a", response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.cert_chain_size(), 2);
  EXPECT_EQ(SanOf(response.cert_chain(0)), "spiffe://cluster.local/ns/shop/sa/a");
  EXPECT_EQ(response.cert_chain(1), ReadFileOr(root_ / "root-cert.pem"));

  for (const char* other : {"spiffe://cluster.local/ns/shop/sa/b", "spiffe://other/ns/shop/sa/a",
                            "spiffe://cluster.local/ns/shop/sa/a/x", "nonsense"}) {
    status = Sign(token, other, response);
    EXPECT_FALSE(status.ok()) << other;
  }
  status = Sign(token, "spiffe://cluster.local/ns/shop/sa/b", response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(status.error_message(), "request impersonation authentication failure");
  EXPECT_EQ(Sign("bad", "", response).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(
      Sign(token, "spiffe://cluster.local/ns/shop/sa/a", response, 3600 * 24 * 365).error_code(),
      grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ControllerTest, TheAuthoritySurvivesARestart) {
  const std::string root = ReadFileOr(root_ / "root-cert.pem");
  StopController();
  StartController();
  EXPECT_EQ(ReadFileOr(root_ / "root-cert.pem"), root);
  EXPECT_EQ(fs::status(root_ / "ca/ca-key.pem").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

}  // namespace
}  // namespace mesh::controller
