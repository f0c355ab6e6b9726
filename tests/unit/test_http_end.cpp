#include "http_test.h"
#include "short_deadline.h"

namespace transcribe {
namespace {

START_TEST(deadline_beats_a_dripping_answer) {
  RawServer server([](Peer& peer) {
    Request request;
    if (!peer.read_request(request)) return;
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (peer.pause(Milliseconds(20)) && peer.write("x")) {
    }
  });
  const auto client = make_client();
  const auto start = steady_clock::now();
  const Milliseconds deadline = short_deadline();
  const HttpResult result = post(*client, server, deadline);
  const auto took = steady_clock::now() - start;
  assert_fault(result, TransportFault::kDeadline);
  ck_assert(result.error().connected);
  const std::string told = std::to_string(deadline.count()) + " ms";
  ck_assert(result.error().message.find(told) != std::string::npos);
  ck_assert(took >= deadline && took < deadline + kSoon);
}
END_TEST

START_TEST(deadline_ends_a_hang_and_the_next_request_works) {
  RawServer server([](Peer& peer) {
    if (peer.number() == 0)
      peer.hang();
    else
      echo_all(peer);
  });
  const auto client = make_client();
  assert_fault(post(*client, server, short_deadline()), TransportFault::kDeadline);
  assert_answer(post(*client, server), 200, "payload");
}
END_TEST

START_TEST(deadline_of_nothing_ends_at_once) {
  RawServer server([](Peer& peer) { peer.hang(); });
  const auto client = make_client();
  const auto start = steady_clock::now();
  assert_fault(post(*client, server, Milliseconds(0)), TransportFault::kDeadline);
  ck_assert(steady_clock::now() - start < kSoon);
}
END_TEST

START_TEST(cancel_ends_waiting_for_the_answer) {
  RawServer server([](Peer& peer) {
    Request request;
    if (peer.read_request(request)) peer.hang_until_closed();
  });
  const auto client = make_client();
  assert_cancel_is_instant(*client, server.url(), "payload", [&] { server.wait_for_requests(1); });
  server.wait_for_closed(1);  // the connection did not stay behind
}
END_TEST

START_TEST(cancel_ends_reading_the_answer) {
  RawServer server([](Peer& peer) {
    Request request;
    if (!peer.read_request(request)) return;
    peer.write("HTTP/1.1 200 OK\r\n\r\nthe start of a body that ends with the connection");
    peer.hang_until_closed();
  });
  const auto client = make_client();
  assert_cancel_is_instant(*client, server.url(), "payload", [&] { server.wait_for_requests(1); });
}
END_TEST

START_TEST(cancel_ends_a_stalled_upload) { assert_cancel_ends_sending(""); }
END_TEST

START_TEST(cancel_before_send_sends_nothing) {
  RawServer server(echo_all);
  const auto client = make_client();
  Cancellation cancellation;
  cancellation.cancel();
  const HttpResult result = client->send(make_request(server.url()), kLong, cancellation);
  assert_fault(result, TransportFault::kCancelled);
  ck_assert(!result.error().connected);
  ck_assert_uint_eq(server.connections(), 0);
}
END_TEST

START_TEST(one_cancel_ends_all_senders) {
  RawServer server([](Peer& peer) {
    Request request;
    if (peer.read_request(request)) peer.hang();
  });
  const auto client = make_client();
  Cancellation cancellation;
  std::atomic<int> cancelled{0};
  std::vector<std::thread> senders;
  for (int i = 0; i < 8; ++i) {
    senders.emplace_back([&] {
      const HttpResult result = client->send(make_request(server.url()), kLong, cancellation);
      if (!result.ok() && result.error().fault == TransportFault::kCancelled) ++cancelled;
    });
  }
  server.wait_for_requests(8);
  const auto start = steady_clock::now();
  cancellation.cancel();
  for (std::thread& sender : senders) sender.join();
  ck_assert(steady_clock::now() - start < kSoon);
  ck_assert_int_eq(cancelled, 8);
}
END_TEST

START_TEST(refused_port_is_a_network_fault_before_a_byte_was_sent) {
  std::string url;
  {
    RawServer server(echo_all);
    url = server.url();
  }
  const auto client = make_client();
  const Cancellation never;
  const HttpResult result = client->send(make_request(url), kLong, never);
  assert_fault(result, TransportFault::kNetwork);
  ck_assert(!result.error().connected);
  ck_assert(!result.error().reused_connection);
}
END_TEST

START_TEST(unknown_host_is_not_found) {
  const auto client = make_client();
  const Cancellation never;
  const HttpResult result = client->send(make_request("http://a..b/"), kLong, never);
  ck_assert(!result.ok());
  ck_assert(!result.error().connected);
}
END_TEST

START_TEST(reset_before_the_answer) {
  RawServer server([](Peer& peer) {
    Request request;
    peer.read_request(request);
    peer.reset_on_close();
  });
  const auto client = make_client();
  const HttpResult result = post(*client, server);
  assert_fault(result, TransportFault::kNetwork);
  ck_assert(result.error().connected);
  ck_assert(!result.error().reused_connection);
  ck_assert_uint_eq(server.requests(), 1);  // never sent twice behind our back
}
END_TEST

START_TEST(reset_while_the_body_is_sent) {
  RawServer server([](Peer& peer) {
    Request request;
    peer.read_head(request);
    peer.reset_on_close();
  });
  const auto client = make_client();
  const HttpResult result = post(*client, server, kLong, std::string(20'000'000, 'a'));
  assert_fault(result, TransportFault::kNetwork);
  ck_assert(result.error().connected);
}
END_TEST

START_TEST(closed_without_an_answer) {
  RawServer server([](Peer& peer) {
    Request request;
    peer.read_request(request);
  });
  const auto client = make_client();
  const HttpResult result = post(*client, server);
  assert_fault(result, TransportFault::kNetwork);
  ck_assert_uint_eq(server.requests(), 1);
}
END_TEST

START_TEST(loss_of_a_reused_connection_says_so) {
  RawServer server([](Peer& peer) {
    Request request;
    if (peer.read_request(request)) peer.answer(200, "answer");
    peer.read_request(request);  // the keep-alive ends as the second request comes in
  });
  const auto client = make_client();
  assert_answer(post(*client, server), 200, "answer");
  const HttpResult result = post(*client, server);
  assert_fault(result, TransportFault::kNetwork);
  ck_assert(result.error().reused_connection);
  ck_assert(result.error().connected);
  ck_assert_uint_eq(server.requests(), 2);
}
END_TEST

void assert_cut(const char* text) {
  RawServer server([&](Peer& peer) {
    Request request;
    if (peer.read_request(request)) peer.write(text);
  });
  const auto client = make_client();
  const HttpResult result = post(*client, server);
  assert_fault(result, TransportFault::kNetwork);
  ck_assert(result.error().connected);
}

START_TEST(answer_cut_in_the_head) { assert_cut("HTTP/1.1 200 OK\r\nContent-Le"); }
END_TEST

START_TEST(answer_cut_in_the_body) {
  assert_cut("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"te");
}
END_TEST

START_TEST(answer_cut_in_a_chunk) {
  assert_cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"te");
}
END_TEST

START_TEST(answer_that_is_not_http) { assert_cut("SSH-2.0-OpenSSH_9.2\r\n\r\n"); }
END_TEST

START_TEST(broken_compression_does_not_wait_for_the_rest) {
  RawServer server([](Peer& peer) {
    Request request;
    if (!peer.read_request(request)) return;
    peer.write("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9999999\r\n\r\n");
    // A gzip header, uncompressed blocks of 60000 bytes and then a block of an unknown kind. Many,
    // as libsoup hands on what it can't decode at the very start.
    peer.write(std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10));
    for (int i = 0; i < 20; ++i)
      peer.write(std::string("\0\x60\xea\x9f\x15", 5) + std::string(60000, 'x'));
    peer.write("\x07\x07\x07\x07");
    peer.hang_until_closed();
  });
  const auto client = make_client();
  // Who waits for the rest meets the deadline.
  assert_fault(post(*client, server), TransportFault::kNetwork);
}
END_TEST

START_TEST(two_hundred_requests_leave_nothing_behind) {
  RawServer server([](Peer& peer) {
    Request request;
    for (int i = 0; peer.read_request(request); ++i) {
      if (request.body == "close") return;
      if (request.body == "hang") peer.hang_until_closed();
      peer.answer(200, "answer");
    }
  });
  const auto round = [&](HttpClient& client) {
    for (int i = 0; i < 50; ++i) {
      assert_answer(post(client, server), 200, "answer");
      assert_fault(post(client, server, kLong, "close"), TransportFault::kNetwork);
      assert_answer(post(client, server), 200, "answer");
      assert_fault(post(client, server, Milliseconds(2), "hang"), TransportFault::kDeadline);
    }
  };
  {
    const auto warm_up = make_client();
    assert_answer(post(*warm_up, server), 200, "answer");
  }
  server.wait_for_closed(1);
  const unsigned files = entries("/proc/self/fd");
  const unsigned threads = entries("/proc/self/task");
  {
    const auto client = make_client();
    round(*client);
  }
  server.wait_for_closed(server.connections());
  ck_assert_uint_eq(entries("/proc/self/fd"), files);
  ck_assert_uint_le(entries("/proc/self/task"), threads);
}
END_TEST

Suite* make_suite() {
  make_criticals_fatal();
  Suite* suite = suite_create("http_end");
  add_case(suite, "end",
           {deadline_beats_a_dripping_answer, deadline_ends_a_hang_and_the_next_request_works,
            deadline_of_nothing_ends_at_once, cancel_ends_waiting_for_the_answer,
            cancel_ends_reading_the_answer, cancel_ends_a_stalled_upload,
            cancel_before_send_sends_nothing, one_cancel_ends_all_senders});
  add_case(
      suite, "faults",
      {refused_port_is_a_network_fault_before_a_byte_was_sent, unknown_host_is_not_found,
       reset_before_the_answer, reset_while_the_body_is_sent, closed_without_an_answer,
       loss_of_a_reused_connection_says_so, answer_cut_in_the_head, answer_cut_in_the_body,
       answer_cut_in_a_chunk, answer_that_is_not_http,
       broken_compression_does_not_wait_for_the_rest, two_hundred_requests_leave_nothing_behind});
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_CHECK_MAIN(transcribe::make_suite)
