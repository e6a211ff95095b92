// RequestAuthentication -> mesh.l7.v1.Authentication. Keys are those of the object itself: tokens
// of an issuer whose keys stand elsewhere are refused.
#pragma once

#include "proto/api/istio_security.pb.h"
#include "proto/l7_policy.pb.h"

namespace mesh::controller {

mesh::l7::v1::Authentication TranslateAuthentication(const api::RequestAuthentication& object);

}  // namespace mesh::controller
