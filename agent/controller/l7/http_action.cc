#include "agent/controller/l7/http_action.h"

#include <absl/strings/escaping.h>

#include "agent/controller/l7/messages.h"
#include "agent/k8s/grpc_status.h"

namespace mesh::controller {

namespace l7 = mesh::l7::v1;

void TranslateRedirect(const api::HttpRedirect& redirect, l7::Redirect& out) {
  constexpr uint32_t kMovedPermanently = 301;
  out.set_full_path(redirect.uri());
  if (redirect.has_prefix_rewrite()) {
    out.set_has_prefix(true);
    out.set_prefix(redirect.prefix_rewrite());
  }
  out.set_authority(redirect.authority());
  out.set_port(redirect.port());
  out.set_port_of_request(redirect.derive_port() == api::HttpRedirect::FROM_REQUEST_PORT);
  out.set_scheme(redirect.scheme());
  out.set_code(redirect.redirect_code() == 0 ? kMovedPermanently : redirect.redirect_code());
}

void TranslateDirect(const api::HttpDirectResponse& direct, l7::DirectResponse& out) {
  out.set_status(direct.status());
  std::string body = direct.body().string();
  if (direct.body().has_bytes()) absl::Base64Unescape(direct.body().bytes(), &body);
  out.set_body(body);
}

void TranslateFault(const api::HttpFault& fault, l7::Fault& out) {
  const api::FaultDelay& delay = fault.delay();
  if (ReadDuration(delay.fixed_delay(), *out.mutable_delay())) {
    *out.mutable_delay_share() =
        ShareOf(delay.has_percentage() ? delay.percentage().value() : delay.percent());
  } else {
    out.clear_delay();
  }
  const api::FaultAbort& abort = fault.abort();
  if (abort.has_http_status()) out.set_abort_status(static_cast<uint32_t>(abort.http_status()));
  if (abort.has_grpc_status()) {
    out.set_abort_grpc(true);
    out.set_abort_grpc_status(k8s::GrpcStatusNamed(abort.grpc_status()).value_or(2));
  }
  if (fault.has_abort()) *out.mutable_abort_share() = ShareOf(abort.percentage().value());
}

void TranslateCors(const api::CorsPolicy& cors, l7::Cors& out) {
  for (const api::StringMatch& origin : cors.allow_origins()) {
    *out.add_allow_origins() = TranslateMatch(origin);
  }
  for (const std::string& origin : cors.allow_origin()) {
    l7::StringMatch& match = *out.add_allow_origins();
    if (origin == "*") {
      match.set_present(true);
    } else {
      match.set_exact(origin);
    }
  }
  out.mutable_allow_methods()->CopyFrom(cors.allow_methods());
  out.mutable_allow_headers()->CopyFrom(cors.allow_headers());
  out.mutable_expose_headers()->CopyFrom(cors.expose_headers());
  google::protobuf::Duration max_age;
  if (ReadDuration(cors.max_age(), max_age)) *out.mutable_max_age() = max_age;
  if (cors.has_allow_credentials()) out.set_allow_credentials(cors.allow_credentials());
  out.set_ignore_unmatched_preflights(cors.unmatched_preflights() == api::CorsPolicy::IGNORE);
}

}  // namespace mesh::controller
