#include "ztunnel/core/h2/session.h"

#include <cstring>
#include <utility>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::h2 {
namespace {

constexpr size_t kFrameHeader = 9;
constexpr uint32_t kServerHeaderBytes = 64 << 10;
constexpr uint32_t kClientHeaderBytes = 16 << 10;

std::vector<nghttp2_nv> Borrow(const Headers& headers) {
  std::vector<nghttp2_nv> result;
  result.reserve(headers.size());
  for (const Header& h : headers) {
    result.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(h.name.data())),
                      reinterpret_cast<uint8_t*>(const_cast<char*>(h.value.data())), h.name.size(),
                      h.value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  return result;
}

}  // namespace

std::string_view Find(const Headers& headers, std::string_view name) {
  for (const Header& h : headers) {
    if (h.name == name) return h.value;
  }
  return {};
}

struct Callbacks {
  static Session& Of(void* user) { return *static_cast<Session*>(user); }

  static ssize_t Send(nghttp2_session*, const uint8_t* data, size_t length, int, void* user) {
    Of(user).out_->Append(std::as_bytes(std::span(data, length)));
    return static_cast<ssize_t>(length);
  }

  static ssize_t ReadLength(nghttp2_session*, uint8_t, int32_t, int32_t, int32_t, uint32_t,
                            void* user) {
    return Of(user).options_.data_frame_bytes;
  }

  // The application's bytes go where they will be sent from: behind the frame header, which
  // SendData writes right after this returned.
  static ssize_t Read(nghttp2_session* session, int32_t id, uint8_t*, size_t length,
                      uint32_t* flags, nghttp2_data_source*, void* user) {
    Session& self = Of(user);
    Session::Stream* stream = self.FindStream(id);
    if (stream == nullptr || stream->handler == nullptr) return NGHTTP2_ERR_DEFERRED;
    if (self.out_->size() >= self.out_limit_) {
      self.postponed_.push_back(id);
      return NGHTTP2_ERR_DEFERRED;
    }
    std::span<std::byte> space =
        self.out_->Reserve(kFrameHeader + length).subspan(kFrameHeader, length);
    const StreamHandler::Produced produced = stream->handler->Produce(space);
    switch (produced.kind) {
      case StreamHandler::Produced::Kind::kBlocked:
        return NGHTTP2_ERR_DEFERRED;
      case StreamHandler::Produced::Kind::kReset:
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, kConnectError);
        return NGHTTP2_ERR_DEFERRED;
      case StreamHandler::Produced::Kind::kEnd:
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (produced.trailers != nullptr) {
          *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
          const std::vector<nghttp2_nv> nv = Borrow(*produced.trailers);
          nghttp2_submit_trailer(session, id, nv.data(), nv.size());
        }
        break;
      case StreamHandler::Produced::Kind::kData:
        break;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return static_cast<ssize_t>(produced.bytes);
  }

  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t length,
                      nghttp2_data_source*, void* user) {
    net::Buffer& out = *Of(user).out_;
    std::memcpy(out.Reserve(kFrameHeader + length).data(), header, kFrameHeader);
    out.Commit(kFrameHeader + length);
    return 0;
  }

  static int BeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Session& self = Of(user);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    self.streams_.emplace(frame->hd.stream_id, std::make_unique<Session::Stream>());
    return 0;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                      void* user) {
    Session& self = Of(user);
    Session::Stream* stream = self.FindStream(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->header_bytes += name_length + value_length + 32;  // RFC 9113 6.5.2
    const uint32_t fields = self.options_.header_fields;
    if (stream->header_bytes > self.HeaderLimit() ||
        (fields > 0 && stream->headers.size() >= fields)) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    stream->headers.push_back({std::string(reinterpret_cast<const char*>(name), name_length),
                               std::string(reinterpret_cast<const char*>(value), value_length)});
    return 0;
  }

  static void HeadersDone(Session& self, const nghttp2_frame& frame) {
    const int32_t id = frame.hd.stream_id;
    Session::Stream* stream = self.FindStream(id);
    if (stream == nullptr) return;
    Headers headers = std::exchange(stream->headers, {});
    stream->header_bytes = 0;
    stream->ended = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (self.options_.server) {
      if (frame.headers.cat != NGHTTP2_HCAT_REQUEST) {
        if (stream->handler != nullptr) stream->handler->OnTrailers(headers);
        return;
      }
      StreamHandler* handler = self.visitor_.OnRequest(id, std::move(headers));
      if (stream = self.FindStream(id); stream != nullptr) stream->handler = handler;
      return;
    }
    StreamHandler* handler = stream->handler;
    if (stream->answered) {
      if (handler != nullptr) handler->OnTrailers(headers);
    } else if (Find(headers, ":status").starts_with('1')) {
      if (handler != nullptr) handler->OnInterim(headers);
    } else {
      stream->answered = true;
      if (handler != nullptr) handler->OnHeaders(headers);
    }
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Session& self = Of(user);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        HeadersDone(self, *frame);
        [[fallthrough]];
      case NGHTTP2_DATA:
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
          Session::Stream* stream = self.FindStream(frame->hd.stream_id);
          if (stream != nullptr && stream->handler != nullptr) stream->handler->OnEnd();
        }
        break;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) self.visitor_.OnPong();
        break;
      case NGHTTP2_GOAWAY:
        self.visitor_.OnGoAway();
        break;
      default:
        break;
    }
    return 0;
  }

  static int OnDataChunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data,
                         size_t length, void* user) {
    Session& self = Of(user);
    Session::Stream* stream = self.FindStream(id);
    if (stream == nullptr || stream->handler == nullptr) {
      nghttp2_session_consume(session, id, length);
      return 0;
    }
    stream->held += length;
    self.SetHeld(self.held_ + length);
    self.owed_ += length;
    stream->handler->OnData(std::as_bytes(std::span(data, length)));
    self.PayConnectionWindow();
    return 0;
  }

  // The answer was the last word: what the peer still sends is of no use, and no error of its own.
  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
      const nghttp2_goaway& goaway = frame->goaway;
      const std::string_view why(reinterpret_cast<const char*>(goaway.opaque_data),
                                 goaway.opaque_data_len);
      Of(user).failure_ = Invalid("HTTP/2: {}{}{}", nghttp2_http2_strerror(goaway.error_code),
                                  why.empty() ? "" : ": ", why);
    }
    const bool last = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                      (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const bool tunnel = frame->hd.type == NGHTTP2_DATA && !Of(user).options_.messages;
    if (last && !tunnel && Of(user).options_.server &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, kNoError);
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t error_code, void* user) {
    Of(user).Forget(id, error_code);
    return 0;
  }
};

Session::Session(SessionVisitor& visitor, Options options) : visitor_(visitor), options_(options) {
  if (options_.budget != nullptr) hold_.Join(*options_.budget);
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  MESH_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0, "out of memory");
  MESH_CHECK(nghttp2_option_new(&option) == 0, "out of memory");
  nghttp2_session_callbacks_set_send_callback(callbacks, Callbacks::Send);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, Callbacks::SendData);
  nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, Callbacks::ReadLength);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::BeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnDataChunk);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Callbacks::OnFrameSent);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnStreamClose);
  nghttp2_option_set_no_auto_window_update(option,
                                           1);  // the window opens when the application took it
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, 1000);
  const int made = options_.server
                       ? nghttp2_session_server_new2(&session_, callbacks, this, option)
                       : nghttp2_session_client_new2(&session_, callbacks, this, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  MESH_CHECK(made == 0, "nghttp2_session_new");

  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, options_.frame_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HeaderLimit()},
  };
  if (options_.server) {
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options_.max_concurrent_streams});
    if (options_.extended_connect) {
      settings.push_back({NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1});
    }
  } else {
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(options_.connection_window_bytes));
}

Session::~Session() {
  MESH_CHECK(!inside_, "h2 session destroyed by one of its callbacks");
  nghttp2_session_del(session_);
}

uint32_t Session::HeaderLimit() const {
  if (options_.header_bytes > 0) return options_.header_bytes;
  return options_.server ? kServerHeaderBytes : kClientHeaderBytes;
}

Session::Stream* Session::FindStream(int32_t id) {
  const auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : it->second.get();
}

absl::Status Session::Receive(std::span<const std::byte> in) {
  inside_ = true;
  const ssize_t n =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(in.data()), in.size());
  inside_ = false;
  if (n >= 0) return absl::OkStatus();
  // nghttp2 ends the session by itself for what the peer got wrong; these are beyond that.
  nghttp2_session_terminate_session(session_, kProtocolError);
  return Invalid("HTTP/2: {}", nghttp2_strerror(static_cast<int>(n)));
}

absl::Status Session::Produce(net::Buffer& out, size_t limit) {
  for (const int32_t id : std::exchange(postponed_, {})) nghttp2_session_resume_data(session_, id);
  out_ = &out;
  out_limit_ = limit;
  inside_ = true;
  const int result = nghttp2_session_send(session_);
  inside_ = false;
  out_ = nullptr;
  if (result != 0) return Internal("HTTP/2: {}", nghttp2_strerror(result));
  return absl::OkStatus();
}

bool Session::WantsWrite() const {
  return !postponed_.empty() || nghttp2_session_want_write(session_) != 0;
}

bool Session::Finished() const {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

absl::StatusOr<int32_t> Session::Request(const Headers& headers, StreamHandler& handler, bool end) {
  if (!TakesRequests()) return Unavailable("the connection takes no more streams");
  std::vector<nghttp2_nv> nv = Borrow(headers);
  nghttp2_data_provider provider{.source = {}, .read_callback = Callbacks::Read};
  const int32_t id = nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(),
                                            end ? nullptr : &provider, nullptr);
  if (id < 0) return Unavailable("HTTP/2 request: {}", nghttp2_strerror(id));
  auto stream = std::make_unique<Stream>();
  stream->handler = &handler;
  streams_.emplace(id, std::move(stream));
  return id;
}

void Session::Inform(int32_t stream, const Headers& headers) {
  std::vector<nghttp2_nv> nv = Borrow(headers);
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream, nullptr, nv.data(), nv.size(),
                         nullptr);
}

bool Session::HeadersEnded(int32_t id) const {
  const auto it = streams_.find(id);
  return it != streams_.end() && it->second->ended;
}

bool Session::PeerTakesExtendedConnect() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) ==
         1;
}

void Session::Respond(int32_t stream, const Headers& headers) {
  std::vector<nghttp2_nv> nv = Borrow(headers);
  nghttp2_data_provider provider{.source = {}, .read_callback = Callbacks::Read};
  nghttp2_submit_response(session_, stream, nv.data(), nv.size(), &provider);
}

void Session::RespondAndEnd(int32_t stream, const Headers& headers) {
  std::vector<nghttp2_nv> nv = Borrow(headers);
  nghttp2_submit_response(session_, stream, nv.data(), nv.size(), nullptr);
}

void Session::Resume(int32_t stream) { nghttp2_session_resume_data(session_, stream); }

void Session::Consumed(int32_t id, size_t bytes) {
  Stream* stream = FindStream(id);
  if (stream == nullptr) return;
  bytes = std::min(bytes, stream->held);
  stream->held -= bytes;
  SetHeld(held_ - bytes);
  nghttp2_session_consume_stream(session_, id, bytes);
  PayConnectionWindow();
}

void Session::SetHeld(size_t bytes) {
  held_ = bytes;
  hold_.Set(bytes);
}

// A few blocked applications must not stop the others of the tunnel: the connection's window opens
// as bytes come, as long as what all streams hold stays within bounds.
void Session::PayConnectionWindow() {
  if (owed_ == 0 || held_ > options_.buffered_bytes) return;
  nghttp2_session_consume_connection(session_, std::exchange(owed_, 0));
}

void Session::Reset(int32_t stream, uint32_t error_code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, error_code);
}

void Session::Detach(int32_t id) {
  Stream* stream = FindStream(id);
  if (stream == nullptr) return;
  stream->handler = nullptr;
  Consumed(id, stream->held);
}

void Session::Forget(int32_t id, uint32_t error_code) {
  auto node = streams_.extract(id);
  if (node.empty()) return;
  SetHeld(held_ - node.mapped()->held);
  PayConnectionWindow();
  if (StreamHandler* handler = node.mapped()->handler) handler->OnClosed(error_code);
}

void Session::Abandon(uint32_t error_code) {
  while (!streams_.empty()) Forget(streams_.begin()->first, error_code);
}

void Session::Ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void Session::GoAwayNotice() { nghttp2_submit_shutdown_notice(session_); }

void Session::GoAway() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), kNoError, nullptr, 0);
}

uint32_t Session::peer_max_streams() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool Session::TakesRequests() const {
  return !options_.server && nghttp2_session_check_request_allowed(session_) != 0 &&
         streams_.size() < peer_max_streams();
}

}  // namespace mesh::h2
