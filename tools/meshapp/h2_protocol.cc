#include "tools/meshapp/h2_protocol.h"

#include <cstring>

#include "tools/meshapp/text.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

constexpr uint32_t kWindowBytes = 1 << 20;

nghttp2_nv Nv(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

std::optional<std::string> Base64UrlDecoded(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xff);
  }
  return out;
}

}  // namespace

struct H2Protocol::Callbacks {
  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      static_cast<H2Protocol*>(self)->streams_[frame->hd.stream_id];
    }
    return 0;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* self) {
    Stream* stream = static_cast<H2Protocol*>(self)->Find(frame->hd.stream_id);
    if (stream == nullptr || stream->dispatched) return 0;
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    Request& request = stream->request;
    if (key == ":method")
      request.method = text;
    else if (key == ":path")
      request.SetTarget(text);
    else if (key == ":authority")
      request.authority = text;
    else if (!key.starts_with(':'))
      request.headers.emplace_back(key, text);
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    auto* h2 = static_cast<H2Protocol*>(self);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    const int32_t id = frame->hd.stream_id;
    Stream* stream = h2->Find(id);
    if (stream == nullptr) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      h2->StartStream(id, *stream);
    }
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) h2->EndOfRequest(id, *stream);
    return 0;
  }

  static int OnChunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data,
                     size_t size, void* self) {
    auto* h2 = static_cast<H2Protocol*>(self);
    Stream* stream = h2->Find(id);
    if (stream == nullptr) return 0;
    stream->request.body_bytes += size;
    if (!stream->echo) {
      nghttp2_session_consume(session, id, size);
      return 0;
    }
    stream->out.append(reinterpret_cast<const char*>(data), size);
    h2->Resume(id, *stream);
    return 0;
  }

  static int OnClose(nghttp2_session*, int32_t id, uint32_t, void* self) {
    static_cast<H2Protocol*>(self)->streams_.erase(id);
    return 0;
  }

  static ssize_t Read(nghttp2_session* session, int32_t id, uint8_t* out, size_t size,
                      uint32_t* flags, nghttp2_data_source* source, void*) {
    Stream* stream = static_cast<H2Protocol*>(source->ptr)->Find(id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t n = std::min(size, stream->out.size() - stream->sent);
    if (n > 0) {
      std::memcpy(out, stream->out.data() + stream->sent, n);
      stream->sent += n;
      if (stream->echo) nghttp2_session_consume(session, id, n);
      if (stream->sent == stream->out.size()) {
        stream->out.clear();
        stream->sent = 0;
      }
    } else if (stream->filler_left > 0) {
      n = std::min<uint64_t>(size, stream->filler_left);
      std::memset(out, 'x', n);
      stream->filler_left -= n;
    }
    const bool empty = stream->out.empty() && stream->filler_left == 0;
    if (empty && stream->out_complete) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!stream->grpc_status.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const nghttp2_nv trailers[] = {Nv("grpc-status", stream->grpc_status)};
        nghttp2_submit_trailer(session, id, trailers, std::size(trailers));
      }
    } else if (n == 0) {
      stream->deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(n);
  }
};

H2Protocol::H2Protocol(Connection& connection, Service& service)
    : connection_(connection), service_(service) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &Callbacks::OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Callbacks::OnChunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Callbacks::OnClose);
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  MESH_CHECK(nghttp2_session_server_new2(&session_, callbacks, this, option) == 0,
             "nghttp2 session");
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000},
                                             {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 4 * kWindowBytes);
}

H2Protocol::~H2Protocol() { nghttp2_session_del(session_); }

std::unique_ptr<H2Protocol> H2Protocol::Upgrade(Connection& connection, Service& service,
                                                std::string_view settings, Request request) {
  const auto payload = Base64UrlDecoded(settings);
  if (!payload) return nullptr;
  auto h2 = std::make_unique<H2Protocol>(connection, service);
  if (nghttp2_session_upgrade2(h2->session_, reinterpret_cast<const uint8_t*>(payload->data()),
                               payload->size(), request.method == "HEAD", nullptr) != 0) {
    return nullptr;
  }
  h2->streams_[1].request = std::move(request);
  return h2;
}

void H2Protocol::OnOpen() {
  if (Stream* stream = Find(1)) {  // the request that asked for the upgrade
    StartStream(1, *stream);
    if (Find(1) != nullptr) EndOfRequest(1, *stream);
  }
  SendPending();
}

size_t H2Protocol::OnData(std::string_view in) {
  receiving_ = true;
  const ssize_t n =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(in.data()), in.size());
  receiving_ = false;
  SendPending();
  if (n < 0) connection_.CloseWhenSent();
  return in.size();
}

void H2Protocol::OnPeerEnd() { connection_.CloseWhenSent(); }

void H2Protocol::OnDrained() { SendPending(); }

void H2Protocol::Drain() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  SendPending();
}

void H2Protocol::StartStream(int32_t id, Stream& stream) {
  stream.dispatched = true;
  stream.request.protocol = "HTTP/2";
  stream.request.from = connection_.peer().ToString();
  stream.content_type = meshapp::Find(stream.request.headers, "content-type");
  if (stream.content_type.starts_with("application/grpc")) SubmitGrpc(id, stream);
}

void H2Protocol::SubmitGrpc(int32_t id, Stream& stream) {
  const std::string& path = stream.request.path;
  const std::string method = path.substr(path.rfind('/') + 1);
  const std::string_view asked = meshapp::Find(stream.request.headers, "x-grpc-status");
  stream.grpc_status = asked.empty() ? "0" : std::string(asked);
  if (path == "/grpc.health.v1.Health/Check") {
    stream.out.assign("\0\0\0\0\2\x08\1", 7);  // one message: status = SERVING
  } else if (!asked.empty()) {
    stream.out_complete = true;
  } else if (method == "Echo" || method == "EchoStream") {
    stream.echo = true;
  } else {
    stream.grpc_status = "12";
    stream.out_complete = true;
  }
  Submit(id, stream, 200, stream.content_type, false);
}

void H2Protocol::EndOfRequest(int32_t id, Stream& stream) {
  if (stream.grpc_status.empty()) return Dispatch(id, stream);
  stream.out_complete = true;
  Resume(id, stream);
}

void H2Protocol::Dispatch(int32_t id, Stream& stream) {
  service_.Handle(stream.request, [this, id, alive = connection_.alive()](Response response) {
    if (alive.expired()) return;
    Stream* found = Find(id);
    if (found == nullptr) return;  // reset by the client meanwhile
    if (response.reset) {
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
    } else {
      found->filler_left = response.filler_bytes;
      found->out = std::move(response.body);
      found->out_complete = true;
      Submit(id, *found, response.status, response.content_type, true);
    }
    if (!receiving_) SendPending();
  });
}

void H2Protocol::Submit(int32_t id, Stream& stream, int status, std::string_view content_type,
                        bool with_length) {
  const std::string code = std::to_string(status);
  const std::string length = std::to_string(stream.out.size() + stream.filler_left);
  const nghttp2_nv headers[] = {Nv(":status", code), Nv("server", "meshapp"),
                                Nv("content-type", content_type), Nv("content-length", length)};
  const nghttp2_data_provider provider = {.source = {.ptr = this},
                                          .read_callback = &Callbacks::Read};
  const bool bodiless = stream.request.method == "HEAD" || status == 204 || status == 304;
  nghttp2_submit_response(session_, id, headers, std::size(headers) - (with_length ? 0 : 1),
                          bodiless ? nullptr : &provider);
}

void H2Protocol::Resume(int32_t id, Stream& stream) {
  if (!std::exchange(stream.deferred, false)) return;
  nghttp2_session_resume_data(session_, id);
}

void H2Protocol::SendPending() {
  while (connection_.unsent_bytes() < Connection::kHighMark) {
    const uint8_t* bytes = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &bytes);
    if (n <= 0) break;
    connection_.Write(std::string_view(reinterpret_cast<const char*>(bytes), n));
  }
  if (!nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_)) {
    connection_.CloseWhenSent();
  }
}

H2Protocol::Stream* H2Protocol::Find(int32_t id) {
  const auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : &it->second;
}

}  // namespace mesh::meshapp
