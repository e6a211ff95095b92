#include "agent/node/bpf/dataplane.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "agent/node/bpf/mounts.h"
#include "agent/node/bpf/pins.h"
#include "bpf/mesh.skel.h"
#include "ztunnel/base/log.h"

namespace mesh::node {
namespace {

struct SkeletonDeleter {
  void operator()(mesh_bpf* skeleton) const { mesh_bpf::destroy(skeleton); }
};
using Skeleton = std::unique_ptr<mesh_bpf, SkeletonDeleter>;

// A cgroup that is not there yet has id 0; RefreshCgroups() finds it when it comes.
absl::StatusOr<CgroupId> IdIfPresent(const std::string& path) {
  if (path.empty()) return CgroupId{};
  absl::StatusOr<CgroupId> id = IdOfCgroup(path);
  if (absl::IsNotFound(id.status())) {
    Logger("bpf")->warn("cgroup is not there yet path={}", path);
    return CgroupId{};
  }
  return id;
}

// The kernel's verifier says why; its text is long, so a line of it is a line of the log.
int OnLibbpf(libbpf_print_level level, const char* format, va_list args) {
  char text[4096];
  ::vsnprintf(text, sizeof(text), format, args);
  std::string_view line(text);
  while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  if (level == LIBBPF_WARN) Logger("bpf")->warn("{}", line);
  if (level == LIBBPF_INFO) Logger("bpf")->debug("{}", line);
  return 0;
}

mesh_addr AddrOf(const IpAddress& ip) {
  mesh_addr addr;
  std::memcpy(addr.bytes, ip.bytes16().data(), sizeof(addr.bytes));
  return addr;
}

IpAddress IpOf(const mesh_addr& addr) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), addr.bytes, bytes.size());
  return IpAddress::FromBytes16(bytes);
}

mesh_service_key KeyOf(const ServiceFront& front) {
  return {.addr = AddrOf(front.ip),
          .port = front.port,
          .protocol = static_cast<uint8_t>(front.udp ? IPPROTO_UDP : IPPROTO_TCP),
          .reserved = 0};
}

absl::StatusOr<UniqueFd> OpenCgroup(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return Errno(errno, "open cgroup {}", path);
  return fd;
}

template <typename Map>
absl::Status OpenMap(bpf_map* map, Map& out) {
  UniqueFd fd(::fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0));
  if (!fd) return Errno(errno, "dup map {}", bpf_map__name(map));
  auto opened = Map::FromFd(std::move(fd), bpf_map__name(map));
  RETURN_IF_ERROR(opened.status());
  out = *std::move(opened);
  return absl::OkStatus();
}

template <size_t N>
void ReadPerCpu(bpf_map* map, std::array<uint64_t, N>& out) {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return;
  std::vector<uint64_t> values(static_cast<size_t>(cpus));
  for (uint32_t i = 0; i < N; ++i) {
    if (::bpf_map_lookup_elem(bpf_map__fd(map), &i, values.data()) != 0) continue;
    out[i] = std::accumulate(values.begin(), values.end(), uint64_t{0});
  }
}

uint32_t CountEntries(int fd, const bpf_map_info& info) {
  std::vector<char> key(info.key_size), next(info.key_size);
  uint32_t n = 0;
  const void* previous = nullptr;
  while (n < info.max_entries && ::bpf_map_get_next_key(fd, previous, next.data()) == 0) {
    ++n;
    key.swap(next);
    previous = key.data();
  }
  return n;
}

}  // namespace

struct Dataplane::Impl {
  DataplaneOptions options;
  bool adopted = false;
  Skeleton skeleton;
  std::string dir;  // where pins go at the moment: staging until published
  BpfMap<mesh_addr, mesh_pod> pods;
  BpfMap<uint64_t, mesh_netns> netns;
  BpfMap<uint32_t, mesh_config> config;
  BpfMap<mesh_listener_key, uint64_t> listeners;
  BpfMap<mesh_service_key, mesh_service> services;
  uint64_t ztunnel_cgroup_id = 0;
  uint64_t prober_cgroup_id = 0;

  absl::Status Load();
  absl::Status AttachTo(const std::string& cgroup, std::initializer_list<bpf_program*> programs);
  absl::Status AttachNode();
  absl::Status AttachDaemon();
  absl::Status AttachProber();
  void ReattachPods();
  absl::Status DropUnknownLinks();
};

absl::Status Dataplane::Impl::Load() {
  adopted = !Names(LiveDir(options.bpf_dir)).empty();
  dir = adopted ? LiveDir(options.bpf_dir) : StagingDir(options.bpf_dir);
  if (!adopted) RETURN_IF_ERROR(RemoveTree(dir));
  RETURN_IF_ERROR(MakeDirs(dir + "/links"));
  RETURN_IF_ERROR(MakeDirs(dir + "/pods"));
  skeleton.reset(mesh_bpf::open());
  if (!skeleton) return Errno(errno, "open the BPF object");
  skeleton->rodata->mesh_services_on = options.services;
  skeleton->rodata->mesh_retval_on =
      libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval, nullptr) == 1;
  bpf_map* map;
  bpf_object__for_each_map(map, skeleton->obj) {
    if (bpf_map__is_internal(map)) continue;  // settings: each load has its own
    absl::StatusOr<UniqueFd> pinned = GetPinned(dir + "/" + bpf_map__name(map));
    if (pinned.ok() && bpf_map__reuse_fd(map, pinned->get()) != 0) {
      return Errno(errno, "adopt map {}", bpf_map__name(map));
    }
  }
  if (const int error = mesh_bpf::load(skeleton.get()); error != 0) {
    return Errno(-error, "load the BPF programs");
  }
  bpf_object__for_each_map(map, skeleton->obj) {
    if (bpf_map__is_internal(map)) continue;
    const std::string pin = dir + "/" + bpf_map__name(map);
    if (!GetPinned(pin).ok()) RETURN_IF_ERROR(Pin(bpf_map__fd(map), pin));
  }
  RETURN_IF_ERROR(OpenMap(skeleton->maps.mesh_pods, pods));
  RETURN_IF_ERROR(OpenMap(skeleton->maps.mesh_netns, netns));
  RETURN_IF_ERROR(OpenMap(skeleton->maps.mesh_config, config));
  RETURN_IF_ERROR(OpenMap(skeleton->maps.mesh_services, services));
  return OpenMap(skeleton->maps.mesh_listeners, listeners);
}

absl::Status Dataplane::Impl::AttachTo(const std::string& cgroup,
                                       std::initializer_list<bpf_program*> programs) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenCgroup(cgroup));
  ASSIGN_OR_RETURN(const CgroupId id, IdOfCgroup(cgroup));
  for (bpf_program* program : programs) {
    RETURN_IF_ERROR(Link(bpf_program__fd(program), fd.get(), id.id,
                         bpf_program__expected_attach_type(program),
                         dir + "/links/" + bpf_program__name(program)));
  }
  return absl::OkStatus();
}

absl::Status Dataplane::Impl::AttachNode() {
  const auto& p = skeleton->progs;
  return AttachTo(
      options.cgroup,
      {p.mesh_connect4, p.mesh_connect6, p.mesh_sendmsg4, p.mesh_sendmsg6, p.mesh_recvmsg4,
       p.mesh_recvmsg6, p.mesh_getpeer4, p.mesh_getpeer6, p.mesh_socket, p.mesh_sockops});
}

absl::Status Dataplane::Impl::AttachDaemon() {
  mesh_config value = {};
  value.probe_v4 = AddrOf(options.probe_v4);
  value.probe_v6 = AddrOf(options.probe_v6);
  ASSIGN_OR_RETURN(const CgroupId id, IdIfPresent(options.ztunnel_cgroup));
  value.exempt_cgroup_id = id.id;
  value.exempt_level = id.level;
  RETURN_IF_ERROR(config.Put(0, value));
  if (id.id != 0) {
    const auto& p = skeleton->progs;
    RETURN_IF_ERROR(AttachTo(options.ztunnel_cgroup, {p.mesh_daemonops, p.mesh_sockopt}));
  }
  ztunnel_cgroup_id = id.id;
  return absl::OkStatus();
}

absl::Status Dataplane::Impl::AttachProber() {
  ASSIGN_OR_RETURN(const CgroupId id, IdIfPresent(options.prober_cgroup));
  if (id.id == 0) return absl::OkStatus();
  const auto& p = skeleton->progs;
  RETURN_IF_ERROR(AttachTo(options.prober_cgroup, {p.mesh_probe4, p.mesh_probe6, p.mesh_probeops}));
  prober_cgroup_id = id.id;
  return absl::OkStatus();
}

// One pod's failure is that pod's alone: its link keeps the code it has until its owner attaches
// anew.
void Dataplane::Impl::ReattachPods() {
  const int program = bpf_program__fd(skeleton->progs.mesh_lookup);
  for (const std::string& uid : Names(dir + "/pods")) {
    const std::string pin = dir + "/pods/" + uid;
    const absl::StatusOr<UniqueFd> link = GetPinned(pin);
    absl::Status status = link.status();
    if (link.ok() && ::bpf_link_update(link->get(), program, nullptr) != 0) {
      status = errno == ENOLINK ? Unpin(pin)  // its namespace has gone
                                : Errno(errno, "give the link of pod {} new code", uid);
    }
    if (!status.ok()) Logger("bpf")->error("{}", Describe(status));
  }
}

// Programs of an earlier version that this one does not have.
absl::Status Dataplane::Impl::DropUnknownLinks() {
  for (const std::string& name : Names(dir + "/links")) {
    if (bpf_object__find_program_by_name(skeleton->obj, name.c_str()) != nullptr) continue;
    RETURN_IF_ERROR(Unpin(dir + "/links/" + name));
  }
  return absl::OkStatus();
}

Dataplane::Dataplane(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Dataplane::~Dataplane() = default;

absl::StatusOr<std::unique_ptr<Dataplane>> Dataplane::Open(DataplaneOptions options) {
  ::libbpf_set_print(OnLibbpf);
  RETURN_IF_ERROR(EnsureBpffs(options.bpf_dir));
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  RETURN_IF_ERROR(impl->Load());
  RETURN_IF_ERROR(impl->AttachDaemon());
  RETURN_IF_ERROR(impl->AttachProber());
  impl->ReattachPods();
  RETURN_IF_ERROR(impl->AttachNode());
  RETURN_IF_ERROR(impl->DropUnknownLinks());
  if (!impl->adopted) {
    const std::string live = LiveDir(impl->options.bpf_dir);
    if (::rename(impl->dir.c_str(), live.c_str()) != 0) {
      return Errno(errno, "publish {}", live);
    }
    impl->dir = live;
  }
  return std::unique_ptr<Dataplane>(new Dataplane(std::move(impl)));
}

bool Dataplane::adopted() const { return impl_->adopted; }

absl::Status Dataplane::SetNetns(uint64_t cookie, uint32_t flags) {
  return impl_->netns.Put(cookie, mesh_netns{.flags = flags, .reserved = 0});
}

std::optional<uint32_t> Dataplane::NetnsFlags(uint64_t cookie) const {
  const auto entry = impl_->netns.Find(cookie);
  return entry ? std::optional(entry->flags) : std::nullopt;
}

absl::Status Dataplane::EraseNetns(uint64_t cookie) { return impl_->netns.Erase(cookie); }

absl::Status Dataplane::SetPod(const IpAddress& ip, uint64_t cookie, uint32_t flags) {
  return impl_->pods.Put(AddrOf(ip),
                         mesh_pod{.netns_cookie = cookie, .flags = flags, .reserved = 0});
}

absl::Status Dataplane::ErasePod(const IpAddress& ip, uint64_t cookie) {
  const auto entry = impl_->pods.Find(AddrOf(ip));
  if (!entry || entry->netns_cookie != cookie) return absl::OkStatus();
  return impl_->pods.Erase(AddrOf(ip));
}

absl::Status Dataplane::SetService(const ServiceFront& front,
                                   const std::vector<SocketAddress>& backends) {
  mesh_service service = {};
  for (const SocketAddress& backend : backends) {
    if (service.count == MESH_SERVICE_BACKENDS) break;
    service.backends[service.count++] = {
        .addr = AddrOf(backend.ip), .port = backend.port, .reserved = 0};
  }
  return impl_->services.Put(KeyOf(front), service);
}

absl::Status Dataplane::EraseService(const ServiceFront& front) {
  return impl_->services.Erase(KeyOf(front));
}

ServiceTable Dataplane::Services() const {
  ServiceTable table;
  for (const mesh_service_key& key : impl_->services.Keys()) {
    const auto service = impl_->services.Find(key);
    if (!service) continue;
    auto& backends =
        table[{.ip = IpOf(key.addr), .port = key.port, .udp = key.protocol == IPPROTO_UDP}];
    for (uint32_t i = 0; i < std::min<uint32_t>(service->count, MESH_SERVICE_BACKENDS); ++i) {
      backends.push_back(
          {.ip = IpOf(service->backends[i].addr), .port = service->backends[i].port});
    }
  }
  return table;
}

absl::Status Dataplane::AttachLookup(const Netns& netns, const std::string& uid) {
  ASSIGN_OR_RETURN(const uint64_t inode, netns.Inode());
  return Link(bpf_program__fd(impl_->skeleton->progs.mesh_lookup), netns.fd(), inode, BPF_SK_LOOKUP,
              impl_->dir + "/pods/" + uid);
}

absl::Status Dataplane::DetachLookup(const std::string& uid) {
  return Unpin(impl_->dir + "/pods/" + uid);
}

bool Dataplane::NetnsLives(const std::string& uid) const {
  const absl::StatusOr<UniqueFd> link = GetPinned(impl_->dir + "/pods/" + uid);
  if (!link.ok()) return false;
  const absl::StatusOr<uint64_t> target = LinkTarget(link->get());
  return !target.ok() || *target != 0;
}

bool Dataplane::HasListener(uint64_t cookie) const {
  for (const uint32_t family : {AF_INET, AF_INET6}) {
    if (impl_->listeners.Find({.netns_cookie = cookie, .family = family, .reserved = 0}))
      return true;
  }
  return false;
}

std::vector<std::string> Dataplane::AttachedUids() const { return Names(impl_->dir + "/pods"); }

std::vector<uint64_t> Dataplane::Cookies() const { return impl_->netns.Keys(); }

std::map<IpAddress, mesh_pod> Dataplane::Pods() const {
  std::map<IpAddress, mesh_pod> pods;
  for (const mesh_addr& addr : impl_->pods.Keys()) {
    if (const auto pod = impl_->pods.Find(addr)) pods.emplace(IpOf(addr), *pod);
  }
  return pods;
}

absl::Status Dataplane::RefreshCgroups() {
  const auto moved = [](const std::string& path, uint64_t id) {
    if (path.empty()) return false;
    const auto now = IdOfCgroup(path);
    return now.ok() && now->id != id;
  };
  if (moved(impl_->options.ztunnel_cgroup, impl_->ztunnel_cgroup_id)) {
    RETURN_IF_ERROR(impl_->AttachDaemon());
  }
  if (moved(impl_->options.prober_cgroup, impl_->prober_cgroup_id)) {
    RETURN_IF_ERROR(impl_->AttachProber());
  }
  return absl::OkStatus();
}

Counters Dataplane::ReadCounters() const {
  Counters counters;
  ReadPerCpu(impl_->skeleton->maps.mesh_refusals, counters.refusals);
  ReadPerCpu(impl_->skeleton->maps.mesh_captures, counters.captures);
  return counters;
}

std::vector<MapInfo> Dataplane::Maps() const {
  std::vector<MapInfo> maps;
  bpf_map* map;
  bpf_object__for_each_map(map, impl_->skeleton->obj) {
    if (bpf_map__is_internal(map)) continue;
    bpf_map_info info = {};
    uint32_t length = sizeof(info);
    if (::bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &length) != 0) continue;
    const char* type = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(info.type));
    const bool countable = info.type == BPF_MAP_TYPE_HASH || info.type == BPF_MAP_TYPE_LRU_HASH ||
                           info.type == BPF_MAP_TYPE_SOCKHASH;
    maps.push_back({.name = info.name,
                    .id = info.id,
                    .type = type != nullptr ? type : "unknown",
                    .entries = countable ? CountEntries(bpf_map__fd(map), info) : 0,
                    .max_entries = info.max_entries});
  }
  return maps;
}

std::vector<ProgramInfo> Dataplane::Programs() const {
  const auto& p = impl_->skeleton->progs;
  std::vector<ProgramInfo> programs;
  bpf_program* program;
  bpf_object__for_each_program(program, impl_->skeleton->obj) {
    bpf_prog_info info = {};
    uint32_t length = sizeof(info);
    if (::bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &length) != 0) continue;
    std::string attached = "cgroup " + impl_->options.cgroup;
    if (program == p.mesh_lookup) {
      attached = fmt::format("{} pods", AttachedUids().size());
    } else if (program == p.mesh_daemonops || program == p.mesh_sockopt) {
      attached = "cgroup " + impl_->options.ztunnel_cgroup;
    } else if (program == p.mesh_probe4 || program == p.mesh_probe6 || program == p.mesh_probeops) {
      attached = "cgroup " + impl_->options.prober_cgroup;
    }
    const char* type = libbpf_bpf_prog_type_str(static_cast<bpf_prog_type>(info.type));
    programs.push_back({.name = info.name,
                        .id = info.id,
                        .type = type != nullptr ? type : "unknown",
                        .attached = std::move(attached)});
  }
  return programs;
}

absl::Status Dataplane::Cleanup(const std::string& bpf_dir) {
  if (!IsBpffs(bpf_dir)) return absl::OkStatus();
  // Links first: capture ends before the maps that it reads go.
  RETURN_IF_ERROR(RemoveTree(LiveDir(bpf_dir) + "/links"));
  RETURN_IF_ERROR(RemoveTree(LiveDir(bpf_dir) + "/pods"));
  RETURN_IF_ERROR(RemoveTree(LiveDir(bpf_dir)));
  RETURN_IF_ERROR(RemoveTree(StagingDir(bpf_dir)));
  std::error_code error;
  // Only when it is empty: whatever else stands there is not ours. A mount point stays (EBUSY).
  std::filesystem::remove(bpf_dir, error);
  return absl::OkStatus();
}

}  // namespace mesh::node
