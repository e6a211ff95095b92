#include "ztunnel/cmd/process.h"

#include <dirent.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::cmd {
namespace {

constexpr int kKept[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN};

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    Logger("app")->warn("descriptor limit not raised err={}",
                        Quoted(Describe(Errno(errno, "setrlimit"))));
  }
}

absl::Status DropCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return Errno(errno, "read capabilities");
  uint32_t kept[2] = {};
  for (const int capability : kKept) kept[capability / 32] |= 1u << (capability % 32);
  // The bounding set first: it takes CAP_SETPCAP.
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    const bool keep = (kept[capability / 32] & 1u << (capability % 32)) != 0;
    if (!keep) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int i = 0; i < 2; ++i) {
    data[i].effective &= kept[i];
    data[i].permitted &= kept[i];
    data[i].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, data) != 0) return Errno(errno, "drop capabilities");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Errno(errno, "set no_new_privs");
  return absl::OkStatus();
}

TerminationSignals::TerminationSignals(base::EventLoop& loop, std::function<void(int)> on_signal)
    : loop_(loop), on_signal_(std::move(on_signal)) {
  const sigset_t set = Signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  fd_.Reset(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  MESH_CHECK(fd_, "signalfd");
  MESH_CHECK(loop_.Add(fd_.get(), EPOLLIN | EPOLLET, *this).ok(), "watch the signals");
}

TerminationSignals::~TerminationSignals() { loop_.Remove(fd_.get(), *this); }

void TerminationSignals::OnEvents(uint32_t) {
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof(info)) == sizeof(info)) {
    on_signal_(static_cast<int>(info.ssi_signo));
  }
}

bool FreeMemory::MaybeGiveBack() {
  const size_t free = ::mallinfo2().fordblks;
  kept_ = std::min(kept_, free);  // some of it is in use again
  if (free < kept_ + worth_) return false;
  ::malloc_trim(0);
  kept_ = ::mallinfo2().fordblks;  // pages that were given back are still counted
  return true;
}

DescriptorUse CountDescriptors() {
  DescriptorUse use;
  if (DIR* dir = ::opendir("/proc/self/fd")) {
    while (const dirent* entry = ::readdir(dir)) use.open += entry->d_name[0] != '.';
    ::closedir(dir);
    if (use.open > 0) --use.open;  // the directory's own
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) use.max = limit.rlim_cur;
  return use;
}

}  // namespace mesh::cmd
