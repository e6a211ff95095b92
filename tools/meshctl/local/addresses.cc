#include "tools/meshctl/local/addresses.h"

#include <fmt/format.h>
#include <unistd.h>

#include "tools/meshctl/local/files.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

constexpr int kFirst = 256, kLast = 65'534;

std::string Address(int number, int family) {
  return family == 4 ? fmt::format("10.96.{}.{}", number >> 8, number & 255)
                     : fmt::format("fd00:10:96::{:x}", number);
}

int NumberOf(const std::string& address) {
  int high = 0, low = 0;
  unsigned six = 0;
  if (std::sscanf(address.c_str(), "10.96.%d.%d", &high, &low) == 2) return (high << 8) + low;
  if (std::sscanf(address.c_str(), "fd00:10:96::%x", &six) == 1) return static_cast<int>(six);
  return 0;
}

bool WantsAddress(const Json& service) {
  const Json& spec = service.At("spec");
  return spec.At("type").Str() != "ExternalName" && spec.At("clusterIP").Str().empty();
}

}  // namespace

std::vector<int> FamiliesOf(const Json& service, bool ipv6) {
  const Json& spec = service.At("spec");
  std::vector<int> families;
  for (const Json& family : spec.At("ipFamilies").Items())
    families.push_back(family.Str() == "IPv6" ? 6 : 4);
  if (families.empty()) families.push_back(4);
  const std::string policy = spec.At("ipFamilyPolicy").Str();
  if (families.size() == 1 && (policy == "PreferDualStack" || policy == "RequireDualStack")) {
    families.push_back(families[0] == 4 ? 6 : 4);
  }
  if (!ipv6) std::erase(families, 6);
  if (families.empty()) families.push_back(4);
  return families;
}

std::string ServiceAddresses::PatchFile(const ObjectKey& key) const {
  return fmt::format("{}/services_{}_{}.patch.json", layout_.patch(), key.ns, key.name);
}

// Near a hash of the name, so that a mesh made again from the same manifests has the same
// addresses.
int ServiceAddresses::Take(std::string_view hint) {
  uint32_t hash = 2166136261u;
  for (const char c : hint) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  for (int i = 0; i <= kLast - kFirst; ++i) {
    const int number = kFirst + static_cast<int>((hash + i) % (kLast - kFirst + 1));
    if (used_.insert(number).second) return number;
  }
  return 0;
}

absl::Status ServiceAddresses::Reconcile(const ObjectStore& user) {
  if (!loaded_) {
    for (const std::string& path : ListManifests(layout_.patch())) {
      if (path.find("/services_") == std::string::npos) continue;
      const auto json = Json::Parse(ReadFileOr(path));
      if (!json.ok()) continue;
      if (const int number = NumberOf(json->Get({"spec", "clusterIP"}).Str())) {
        given_[KeyOf(*json)] = number;
        used_.insert(number);
      }
    }
    loaded_ = true;
  }
  for (const Json* service : user.OfKind("Service")) {
    if (const int number = NumberOf(service->Get({"spec", "clusterIP"}).Str()))
      used_.insert(number);
  }
  std::erase_if(given_, [&](const auto& entry) {
    const Json* service = user.Find(entry.first);
    if (service && WantsAddress(*service)) return false;
    used_.erase(entry.second);
    written_.erase(entry.first);
    ::unlink(PatchFile(entry.first).c_str());
    return true;
  });
  for (const Json* service : user.OfKind("Service")) {
    if (!WantsAddress(*service)) continue;
    const ObjectKey key = KeyOf(*service);
    int& number = given_[key];
    if (number == 0) number = Take(key.ns + "/" + key.name);
    if (number == 0)
      return ResourceExhausted("no service address left for {}/{}", key.ns, key.name);
    Json::Array ips, families;
    for (const int family : FamiliesOf(*service, ipv6_)) {
      ips.push_back(Address(number, family));
      families.push_back(family == 4 ? "IPv4" : "IPv6");
    }
    Json patch = Json::Obj({{"apiVersion", "v1"}, {"kind", "Service"}});
    patch["metadata"] = Json::Obj({{"name", key.name}, {"namespace", key.ns}});
    patch["spec"] =
        Json::Obj({{"clusterIP", ips[0]}, {"clusterIPs", ips}, {"ipFamilies", families}});
    const std::string text = patch.Dump(true) + "\n";
    if (written_[key] == text) continue;
    RETURN_IF_ERROR(WriteFile(PatchFile(key), text));
    written_[key] = text;
  }
  return absl::OkStatus();
}

}  // namespace mesh::local
