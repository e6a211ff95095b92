// What an http rule does besides forwarding: redirect, direct response, fault, CORS.
#pragma once

#include "proto/api/istio_traffic.pb.h"
#include "proto/l7_frontend.pb.h"

namespace mesh::controller {

void TranslateRedirect(const api::HttpRedirect& redirect, mesh::l7::v1::Redirect& out);
void TranslateDirect(const api::HttpDirectResponse& direct, mesh::l7::v1::DirectResponse& out);
void TranslateFault(const api::HttpFault& fault, mesh::l7::v1::Fault& out);
void TranslateCors(const api::CorsPolicy& cors, mesh::l7::v1::Cors& out);

}  // namespace mesh::controller
