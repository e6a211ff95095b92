// Python that several scripts of tests begin with.
#pragma once

namespace mesh::test {

// exactly(socket, n): n bytes, EOFError when the peer ended before.
inline constexpr const char* kPythonExactly = R"py(
def exactly(s, n):
    got = b''
    while len(got) < n:
        b = s.recv(n - len(got))
        if not b: raise EOFError()
        got += b
    return got
)py";

}  // namespace mesh::test
