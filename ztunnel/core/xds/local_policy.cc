#include "ztunnel/core/xds/local_policy.h"

#include "proto/authorization.pb.h"
#include "ztunnel/base/ip.h"

namespace mesh::xds {
namespace {

namespace sec = istio::security;
using Value = google::protobuf::Value;

constexpr std::pair<const char*, sec::Scope> kPolicyScopes[] = {
    {"Global", sec::GLOBAL},
    {"Namespace", sec::NAMESPACE},
    {"WorkloadSelector", sec::WORKLOAD_SELECTOR}};
constexpr std::pair<const char*, sec::Action> kActions[] = {{"Allow", sec::ALLOW},
                                                            {"Deny", sec::DENY}};

// {Exact: x}, {Prefix: x}, {Suffix: x} or {Presence: []}.
void ReadStrings(LocalObject& in, const std::string& key,
                 google::protobuf::RepeatedPtrField<sec::StringMatch>& out) {
  in.Each(key, [&](const Value& value, const std::string& at) {
    LocalObject o(value, in.PathOf(at), in.errors());
    sec::StringMatch& match = *out.Add();
    if (value.struct_value().fields_size() != 1) return o.Fail("", "is not one match");
    if (o.Take("Presence") != nullptr) {
      match.mutable_presence();
    } else if (o.Take("Exact") != nullptr) {
      match.set_exact(o.Text("Exact"));
    } else if (o.Take("Prefix") != nullptr) {
      match.set_prefix(o.Text("Prefix"));
    } else if (o.Take("Suffix") != nullptr) {
      match.set_suffix(o.Text("Suffix"));
    } else {
      o.Fail("", "is no match");
    }
  });
}

void ReadPrefixes(LocalObject& in, const std::string& key,
                  google::protobuf::RepeatedPtrField<sec::Address>& out) {
  in.EachText(key, [&](const std::string& text, const std::string& at) {
    const auto prefix = IpPrefix::Parse(text);
    if (!prefix) return in.Fail(at, Quoted(text) + " is no address/length");
    out.Add()->set_address(prefix->address.ToBytes());
    out.rbegin()->set_length(prefix->length);
  });
}

void ReadAccounts(LocalObject& in, const std::string& key,
                  google::protobuf::RepeatedPtrField<sec::ServiceAccountMatch>& out) {
  in.Each(key, [&](const Value& value, const std::string& at) {
    LocalObject o(value, in.PathOf(at), in.errors());
    sec::ServiceAccountMatch& match = *out.Add();
    match.set_namespace_(o.Text("namespace"));
    match.set_serviceaccount(o.Text("serviceAccount"));
  });
}

void ReadMatch(LocalObject& in, sec::Match& out) {
  ReadStrings(in, "namespaces", *out.mutable_namespaces());
  ReadStrings(in, "notNamespaces", *out.mutable_not_namespaces());
  ReadStrings(in, "principals", *out.mutable_principals());
  ReadStrings(in, "notPrincipals", *out.mutable_not_principals());
  ReadAccounts(in, "serviceAccounts", *out.mutable_service_accounts());
  ReadAccounts(in, "notServiceAccounts", *out.mutable_not_service_accounts());
  ReadPrefixes(in, "sourceIps", *out.mutable_source_ips());
  ReadPrefixes(in, "notSourceIps", *out.mutable_not_source_ips());
  ReadPrefixes(in, "destinationIps", *out.mutable_destination_ips());
  ReadPrefixes(in, "notDestinationIps", *out.mutable_not_destination_ips());
  for (const auto& [key, ports] :
       {std::pair("destinationPorts", out.mutable_destination_ports()),
        std::pair("notDestinationPorts", out.mutable_not_destination_ports())}) {
    in.Each(key, [&, list = ports](const Value& value, const std::string& at) {
      list->Add(in.NumberOf(value, at, 65'535));
    });
  }
}

const Value& Listed(LocalObject& in, const std::string& at, const Value& value) {
  if (value.kind_case() != Value::kListValue) in.Fail(at, "is no list");
  return value;
}

}  // namespace

void ReadLocalPolicy(LocalObject& in, sec::Authorization& out) {
  out.set_name(in.Text("name"));
  out.set_namespace_(in.Text("namespace"));
  // What a policy covers and does is said, not left to a default.
  if (in.Take("scope") == nullptr) in.Fail("scope", "is missing");
  if (in.Take("action") == nullptr) in.Fail("action", "is missing");
  out.set_scope(in.Word("scope", kPolicyScopes));
  out.set_action(in.Word("action", kActions));
  out.set_dry_run(in.Bool("dryRun"));
  in.Each("rules", [&](const Value& group, const std::string& at) {
    sec::Group& made = *out.add_groups();
    for (const Value& rules : Listed(in, at, group).list_value().values()) {
      sec::Rules& rule = *made.add_rules();
      for (const Value& match : Listed(in, at, rules).list_value().values()) {
        LocalObject o(match, in.PathOf(at), in.errors());
        ReadMatch(o, *rule.add_matches());
      }
    }
  });
}

}  // namespace mesh::xds
