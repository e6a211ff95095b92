// What a validated JSON Web Token says; made by the JWT filter, read by authorization.
#pragma once

#include <google/protobuf/struct.pb.h>

#include <string>
#include <string_view>
#include <vector>

namespace mesh::filter {

struct Token {
  std::string issuer, subject;  // the request principal is issuer/subject
  std::string presenter;        // azp
  std::vector<std::string> audiences;
  google::protobuf::Struct claims;  // all of the payload
};

}  // namespace mesh::filter
