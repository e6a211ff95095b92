// main of every test program. A run in which something was skipped and nothing failed ends with 77,
// which ctest shows as skipped; a failure beside a skip stays a failure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  testing::InitGoogleMock(&argc, argv);
  if (const int failed = RUN_ALL_TESTS(); failed != 0) return failed;
  return testing::UnitTest::GetInstance()->skipped_test_count() > 0 ? kSkipped : 0;
}
