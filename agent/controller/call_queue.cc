#include "agent/controller/call_queue.h"

#include <sys/eventfd.h>

#include <condition_variable>
#include <memory>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {

CallQueue::CallQueue() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  MESH_CHECK(event_, "eventfd");
}

void CallQueue::Post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  (void)!::write(event_.get(), &one, sizeof one);
}

void CallQueue::Drain() {
  uint64_t count = 0;
  (void)!::read(event_.get(), &count, sizeof count);
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (Task& task : tasks) task();
}

absl::StatusOr<std::string> CallQueue::Call(std::function<std::string()> make,
                                            absl::Duration patience) {
  struct Answer {
    std::mutex mutex;
    std::condition_variable ready;
    std::optional<std::string> text;
  };
  const auto answer = std::make_shared<Answer>();
  Post([answer, make = std::move(make)] {
    std::string text = make();
    const std::lock_guard lock(answer->mutex);
    answer->text = std::move(text);
    answer->ready.notify_one();
  });
  std::unique_lock lock(answer->mutex);
  if (!answer->ready.wait_for(lock, absl::ToChronoNanoseconds(patience),
                              [&answer] { return answer->text.has_value(); })) {
    return Unavailable("the controller did not answer within {}", absl::FormatDuration(patience));
  }
  return *std::move(answer->text);
}

}  // namespace mesh::controller
