#include "ztunnel/core/identity/certificate_manager.h"

#include <absl/container/flat_hash_map.h>
#include <absl/hash/hash.h>
#include <absl/random/random.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <unordered_map>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/identity/csr.h"
#include "ztunnel/core/identity/renewal.h"

namespace mesh::identity {
namespace {

// Threads look at the clocks at least this often: a suspended machine or a changed wall clock wakes
// nobody by itself.
constexpr absl::Duration kLongestWait = absl::Seconds(10);
constexpr absl::Duration kWaitableRetry = absl::Seconds(2);
// Those that wait sit out this many failures: an authority that has not heard yet of a pod that
// just started knows it a moment later.
constexpr int kFailuresToSitOut = 2;
// Connections that may wait for one identity at once.
constexpr size_t kMaxWaiters = 16'384;

using Done = std::function<void(absl::StatusOr<CertificateRef>)>;

struct Waiter {
  base::EventLoop* loop;
  Done done;
};

struct Entry {
  uint64_t id = 0;  // tells an entry from a later one of the same identity
  int references = 0;
  bool fetching = false;
  int failures = 0;
  CertificateRef certificate;
  absl::Status last_error;
  absl::Time due_wall = absl::InfiniteFuture();
  absl::Time due_monotonic;  // due when either clock says so
  std::vector<Waiter> waiters;
};

// Waiting connections, then what never had a certificate, then renewals.
int Priority(const Entry& e) { return !e.waiters.empty() ? 2 : e.certificate == nullptr ? 1 : 0; }

bool IsValid(const CertificateRef& c, absl::Time now) { return c && now < c->not_after(); }

void Tell(std::vector<Waiter> waiters, const absl::StatusOr<CertificateRef>& result) {
  for (Waiter& w : waiters) {
    w.loop->Post([done = std::move(w.done), result] { done(result); });
  }
}

}  // namespace

class CertificateManager::Impl {
 public:
  Impl(CertificateAuthority& authority, Options options)
      : authority_(authority),
        options_(std::move(options)),
        clock_(options.clock ? *options.clock : own_clock_),
        log_(Logger("identity")) {
    for (int i = 0; i < options_.parallel_fetches; ++i) threads_.emplace_back([this] { Work(); });
  }

  ~Impl() { Stop(); }

  void Stop() {
    std::vector<Waiter> waiters;
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(stopping_, true)) return;
      for (auto& [identity, entry] : entries_) {
        std::move(entry.waiters.begin(), entry.waiters.end(), std::back_inserter(waiters));
        entry.waiters.clear();
      }
    }
    authority_.Cancel();
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
    Tell(std::move(waiters), Cancelled("the node proxy is shutting down"));
  }

  void Retain(const Identity& identity) {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[identity];
    if (entry.references++ > 0) return;
    entry.id = ++last_id_;
    entry.due_monotonic = clock_.Monotonic();
    wake_.notify_one();
  }

  void Release(const Identity& identity) {
    std::vector<Waiter> waiters;
    {
      std::lock_guard lock(mutex_);
      const auto it = entries_.find(identity);
      MESH_CHECK(it != entries_.end(), "released an identity that nobody retains");
      if (--it->second.references > 0) return;
      waiters = std::move(it->second.waiters);
      entries_.erase(it);
      Publish(identity, nullptr);
    }
    Tell(std::move(waiters),
         NotFound("no pod of {} is on this node any more", identity.ToString()));
  }

  CertificateRef TryGet(const Identity& identity) const {
    std::shared_lock lock(published_mutex_);
    const auto it = published_.find(identity);
    if (it == published_.end() || !IsValid(it->second, clock_.Wall())) return nullptr;
    return it->second;
  }

  void Get(const Identity& identity, base::EventLoop& loop, Done done) {
    absl::StatusOr<CertificateRef> result = TryGet(identity);
    if (*result == nullptr) {
      std::lock_guard lock(mutex_);
      result = MayWait(identity);
      if (result.ok() && *result == nullptr) {
        entries_[identity].waiters.push_back({&loop, std::move(done)});
        wake_.notify_one();
        return;
      }
    }
    loop.Post([done = std::move(done), result = std::move(result)] { done(result); });
  }

  std::vector<CertificateState> Dump() const {
    std::vector<CertificateState> out;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [identity, e] : entries_) {
        out.push_back({identity, e.certificate, e.last_error, e.fetching});
      }
    }
    std::sort(out.begin(), out.end(),
              [](const auto& a, const auto& b) { return a.identity < b.identity; });
    return out;
  }

 private:
  using Entries = std::unordered_map<Identity, Entry, absl::Hash<Identity>>;

  // A certificate that came meanwhile, null: wait for the fetch, or why waiting is no use.
  absl::StatusOr<CertificateRef> MayWait(const Identity& identity) {
    const auto it = entries_.find(identity);
    if (it == entries_.end()) return NotFound("no pod of {} is on this node", identity.ToString());
    if (stopping_) return Cancelled("the node proxy is shutting down");
    Entry& entry = it->second;
    if (IsValid(entry.certificate, clock_.Wall())) return entry.certificate;
    if (entry.waiters.size() >= kMaxWaiters) {
      return ResourceExhausted("{} connections already wait for the certificate of {}",
                               entry.waiters.size(), identity.ToString());
    }
    const absl::Duration until = entry.due_monotonic - clock_.Monotonic();
    if (!entry.fetching && entry.failures > 0 && until > kWaitableRetry) {
      return Unavailable("certificate of {}: {} (next try in {:.0f} s)", identity.ToString(),
                         MessageOf(entry.last_error), absl::ToDoubleSeconds(until));
    }
    return CertificateRef();
  }

  void Work() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      absl::Duration wait = kLongestWait;
      const auto it = NextDue(wait);
      if (it == entries_.end()) {
        clock_.Wait(wake_, lock, wait);
        continue;
      }
      const Identity identity = it->first;
      const uint64_t id = it->second.id;
      it->second.fetching = true;
      lock.unlock();
      absl::StatusOr<CertificateRef> result = Fetch(identity);
      lock.lock();
      std::vector<Waiter> waiters = Finish(identity, id, result);
      lock.unlock();
      Tell(std::move(waiters), result);
      lock.lock();
    }
  }

  // The most urgent entry that is due; `wait` becomes the time until the first one is.
  Entries::iterator NextDue(absl::Duration& wait) {
    const absl::Time wall = clock_.Wall();
    const absl::Time monotonic = clock_.Monotonic();
    auto best = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      const Entry& e = it->second;
      if (e.fetching) continue;
      const absl::Duration until = std::min(e.due_wall - wall, e.due_monotonic - monotonic);
      if (until > absl::ZeroDuration()) {
        wait = std::min(wait, until);
      } else if (best == entries_.end() || Priority(e) > Priority(best->second)) {
        best = it;
      }
    }
    return best;
  }

  absl::StatusOr<CertificateRef> Fetch(const Identity& identity) {
    ASSIGN_OR_RETURN(KeyAndRequest made, MakeKeyAndRequest(identity));
    ASSIGN_OR_RETURN(const auto chain, authority_.Sign(identity, made.csr_pem, options_.lifetime));
    ASSIGN_OR_RETURN(
        CertificateRef made_certificate,
        WorkloadCertificate::Create(identity, made.key_pem, chain, options_.key_exchange));
    if (!IsValid(made_certificate, clock_.Wall())) {
      return Unavailable("certificate of {} ended at {} already", identity.ToString(),
                         absl::FormatTime(made_certificate->not_after()));
    }
    return made_certificate;
  }

  // Takes in what a fetch gave and says who waited for it.
  std::vector<Waiter> Finish(const Identity& identity, uint64_t id,
                             const absl::StatusOr<CertificateRef>& result) {
    const auto it = entries_.find(identity);
    if (it == entries_.end() || it->second.id != id || stopping_) return {};
    Entry& entry = it->second;
    entry.fetching = false;
    if (result.ok()) {
      Succeeded(entry, *result);
      Publish(identity, *result);
    } else {
      Failed(identity, entry, result.status());
      if (entry.failures <= kFailuresToSitOut) return {};
    }
    return std::exchange(entry.waiters, {});
  }

  void Succeeded(Entry& entry, const CertificateRef& certificate) {
    const absl::Time wall = clock_.Wall();
    entry.certificate = certificate;
    entry.last_error = absl::OkStatus();
    entry.failures = 0;
    entry.due_wall = RenewAt(certificate->not_before(), certificate->not_after(), wall);
    entry.due_monotonic = clock_.Monotonic() + (entry.due_wall - wall);
    log_->info("certificate obtained identity={} serial={} not_after={} renew_at={}",
               certificate->identity().ToString(), certificate->chain().front().serial_decimal,
               absl::FormatTime(certificate->not_after(), absl::UTCTimeZone()),
               absl::FormatTime(entry.due_wall, absl::UTCTimeZone()));
  }

  void Failed(const Identity& identity, Entry& entry, const absl::Status& status) {
    const bool news = entry.failures == 0 || status.code() != entry.last_error.code();
    entry.last_error = status;
    const absl::Duration delay = RetryDelay(++entry.failures, absl::Uniform<double>(random_, 0, 1));
    entry.due_wall = absl::InfiniteFuture();
    entry.due_monotonic = clock_.Monotonic() + delay;
    const auto level = news ? spdlog::level::warn : spdlog::level::debug;
    log_->log(level, "certificate not obtained identity={} valid_until={} retry_in={} err={}",
              identity.ToString(),
              entry.certificate
                  ? absl::FormatTime(entry.certificate->not_after(), absl::UTCTimeZone())
                  : "never had one",
              absl::FormatDuration(delay), Quoted(Describe(status)));
  }

  void Publish(const Identity& identity, const CertificateRef& certificate) {
    std::unique_lock lock(published_mutex_);
    if (certificate) {
      published_[identity] = certificate;
    } else {
      published_.erase(identity);
    }
  }

  CertificateAuthority& authority_;
  const Options options_;
  Clock own_clock_;
  Clock& clock_;
  const std::shared_ptr<spdlog::logger> log_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Entries entries_;
  uint64_t last_id_ = 0;
  bool stopping_ = false;
  absl::BitGen random_;

  // What handshakes read: apart from the bookkeeping, so that they never wait for it.
  mutable std::shared_mutex published_mutex_;
  absl::flat_hash_map<Identity, CertificateRef> published_;

  std::vector<std::thread> threads_;  // last: they use all of the above
};

CertificateManager::CertificateManager(CertificateAuthority& authority, Options options)
    : impl_(std::make_unique<Impl>(authority, std::move(options))) {}
CertificateManager::~CertificateManager() = default;

void CertificateManager::Stop() { impl_->Stop(); }
void CertificateManager::Retain(const Identity& identity) { impl_->Retain(identity); }
void CertificateManager::Release(const Identity& identity) { impl_->Release(identity); }
CertificateRef CertificateManager::TryGet(const Identity& identity) const {
  return impl_->TryGet(identity);
}
void CertificateManager::Get(const Identity& identity, base::EventLoop& loop, Done done) {
  impl_->Get(identity, loop, std::move(done));
}
std::vector<CertificateState> CertificateManager::Dump() const { return impl_->Dump(); }

}  // namespace mesh::identity
