#include "tools/meshctl/local/pods.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>

#include "ztunnel/base/log.h"

namespace mesh::local {
namespace {

constexpr int kFirstPod = 2, kLastPod = 254;

std::string RandomSuffix() {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  static std::random_device random;
  std::string out;
  for (int i = 0; i < 5; ++i) out += kLetters[random() % kLetters.size()];
  return out;
}

}  // namespace

std::vector<Pod*> Pods::Of(const ObjectKey& owner) const {
  std::vector<Pod*> found;
  for (const auto& pod : pods_) {
    if (pod->owner() == owner && !pod->terminating() && !pod->gone()) found.push_back(pod.get());
  }
  return found;
}

const NodeConfig* Pods::NodeFor(const Json& pod, std::string& problem) const {
  const Json& spec = pod.At("spec");
  const std::string wanted =
      spec.At("nodeName").Str(spec.Get({"nodeSelector", "kubernetes.io/hostname"}).Str());
  std::map<std::string, int> load;
  for (const auto& other : pods_) {
    if (other->node()) ++load[other->node()->name];
  }
  const NodeConfig* best = nullptr;
  for (const NodeConfig& node : host_.config.nodes) {
    if (!wanted.empty() && node.name != wanted) continue;
    if (!best || load[node.name] < load[best->name]) best = &node;
  }
  if (!best) problem = fmt::format("there is no node \"{}\"", wanted);
  return best;
}

// Addresses go round, so that one is not given to another pod at once; unless it is asked for.
int Pods::FreeIndex(const NodeConfig& node, std::string_view wanted) {
  std::set<int> used;
  for (const auto& pod : pods_) {
    if (pod->node() == &node) used.insert(pod->index());
  }
  if (!wanted.empty()) {
    for (int index = kFirstPod; index <= kLastPod; ++index) {
      if (PodIp(node.index, index, 4) == wanted) return used.contains(index) ? 0 : index;
    }
    return 0;
  }
  int& next = next_index_[node.index];
  for (int i = 0; i <= kLastPod - kFirstPod; ++i) {
    if (next < kFirstPod || next > kLastPod) next = kFirstPod;
    const int index = next++;
    if (!used.contains(index)) return index;
  }
  return 0;
}

void Pods::Create(const PodSet& set, std::string name) {
  std::string problem;
  const NodeConfig* node = NodeFor(set.pod, problem);
  int index = 0;
  const std::string wanted = set.pod.Get({"metadata", "annotations", "local.mesh/address"}).Str();
  if (node && (index = FreeIndex(*node, wanted)) == 0) {
    problem = wanted.empty()
                  ? fmt::format("node {} has no address left", node->name)
                  : fmt::format("local.mesh/address \"{}\" is not a free address of node {}",
                                wanted, node->name);
    node = nullptr;
  }
  Logger("pods")->info("pod made pod={}/{} node={}", set.owner.ns, name,
                       node ? node->name : "none");
  pods_.push_back(std::make_unique<Pod>(host_, set, std::move(name), node, index, problem));
}

void Pods::ApplyFixed(const PodSet& set) {
  for (const std::string& name : set.names) {
    // A pod of this name that still ends must be gone first: the name is its identity.
    const auto it = std::find_if(pods_.begin(), pods_.end(), [&](const auto& pod) {
      return pod->ns() == set.owner.ns && pod->name() == name;
    });
    if (it == pods_.end()) {
      Create(set, name);
    } else if ((*it)->owner() == set.owner && (*it)->revision() != set.revision) {
      (*it)->Terminate(absl::Now());
    } else if (set.owner.kind == "Pod" && !(*it)->terminating()) {
      (*it)->UpdateMetadata(set.pod);
    }
  }
  for (Pod* pod : Of(set.owner)) {
    if (std::find(set.names.begin(), set.names.end(), pod->name()) == set.names.end())
      pod->Terminate(absl::Now());
  }
}

void Pods::ApplyScaled(const PodSet& set) {
  std::vector<Pod*> current, old;
  for (Pod* pod : Of(set.owner)) (pod->revision() == set.revision ? current : old).push_back(pod);
  for (int i = static_cast<int>(current.size()); i < set.replicas; ++i) {
    Create(set, set.prefix + "-" + RandomSuffix());
  }
  // Those that are not ready go first.
  std::sort(current.begin(), current.end(),
            [](Pod* a, Pod* b) { return a->ready() && !b->ready(); });
  for (size_t i = current.size(); i > static_cast<size_t>(set.replicas); --i)
    current[i - 1]->Terminate(absl::Now());
  // An old pod goes when a new one has taken its place.
  const auto ready =
      std::count_if(current.begin(), current.end(), [](Pod* pod) { return pod->ready(); });
  const auto keep = std::max<std::ptrdiff_t>(0, set.replicas - ready);
  for (size_t i = old.size(); i > static_cast<size_t>(keep); --i)
    old[i - 1]->Terminate(absl::Now());
}

void Pods::Apply(const std::vector<PodSet>& plan) {
  plan_ = plan;
  std::set<ObjectKey> owners;
  for (const PodSet& set : plan_) owners.insert(set.owner);
  for (const auto& pod : pods_) {
    if (!owners.contains(pod->owner())) pod->Terminate(absl::Now());
  }
  for (const PodSet& set : plan_) set.fixed_names() ? ApplyFixed(set) : ApplyScaled(set);
}

void Pods::Tick(absl::Time now) {
  for (const auto& pod : pods_) pod->Tick(now);
  std::erase_if(pods_, [](const auto& pod) { return pod->gone(); });
  for (const PodSet& set : plan_) set.fixed_names() ? ApplyFixed(set) : ApplyScaled(set);
}

bool Pods::busy() const {
  return std::any_of(pods_.begin(), pods_.end(), [](const auto& pod) { return pod->busy(); });
}

}  // namespace mesh::local
