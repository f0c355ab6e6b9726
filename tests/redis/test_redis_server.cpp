#include <gio/gio.h>

#include <string>

#include "check_text.h"
#include "redis_client.h"
#include "redis_server.h"

#include "check_main.h"

namespace transcribe {
namespace {

START_TEST(keeps_nothing_without_persistence) {
  RedisServer server;
  ck_same(RedisClient(server.port())("SET", "a", "b").text, "OK");
  server.kill();
  RedisClient gone(server.port());
  ck_assert(gone("PING").is_error());
  server.restart();
  ck_assert(RedisClient(server.port())("GET", "a").is_nil());
}
END_TEST

START_TEST(keeps_its_append_only_file) {
  RedisServer::Options options;
  options.append_only = true;
  RedisServer server(options);
  RedisClient(server.port())("SET", "a", "b");
  for (int i = 0; i < 3; i++) {
    server.kill();
    server.restart();
    ck_same(RedisClient(server.port())("GET", "a").text, "b");
  }
}
END_TEST

START_TEST(freezes_and_thaws) {
  RedisServer server;
  RedisClient client(server.port());
  server.freeze();
  server.thaw();
  ck_same(client("PING").text, "PONG");
}
END_TEST

START_TEST(listens_on_a_socket) {
  RedisServer::Options options;
  options.unix_socket = true;
  RedisServer server(options);
  ck_same(RedisClient(server.socket_path())("PING").text, "PONG");
}
END_TEST

START_TEST(knows_the_users_of_the_acl) {
  RedisServer::Options options;
  options.acl = "user default off\nuser reader on >secret ~* +get +ping\n";
  RedisServer server(options);
  RedisClient client(server.port());
  ck_assert(client("PING").is_error());
  ck_same(client("AUTH", "reader", "secret").text, "OK");
  ck_same(client("PING").text, "PONG");
  ck_assert(client("SET", "a", "b").is_error());
}
END_TEST

START_TEST(replicates) {
  RedisServer master;
  RedisClient(master.port())("SET", "a", "b");
  RedisServer::Options options;
  options.replica_of = master.port();
  RedisServer replica(options);
  ck_assert(replica.wait_for_log("Finished with success"));
  RedisClient client(replica.port());
  ck_same(client("GET", "a").text, "b");
  ck_assert(client("SET", "a", "c").text.starts_with("READONLY"));
}
END_TEST

START_TEST(runs_as_a_cluster) {
  RedisServer::Options options;
  options.cluster = true;
  RedisServer server(options);
  RedisClient client(server.port());
  ck_assert(client("GET", "a").text.starts_with("CLUSTERDOWN"));
  ck_same(client("CLUSTER", "ADDSLOTSRANGE", "0", "16383").text, "OK");
  ck_assert(server.wait_for_log("Cluster state changed: ok"));
  ck_assert(client("GET", "a").is_nil());
}
END_TEST

START_TEST(speaks_tls) {
  RedisServer::Options options;
  options.tls = true;
  RedisServer server(options);
  GError* error = nullptr;
  GSocketClient* socket = g_socket_client_new();
  g_socket_client_set_tls(socket, TRUE);
  GTlsDatabase* authority = g_tls_file_database_new(server.certificate().c_str(), &error);
  ck_assert(authority != nullptr);
  g_signal_connect(socket, "event",
                   G_CALLBACK(+[](GSocketClient*, GSocketClientEvent event, GSocketConnectable*,
                                  GIOStream* stream, gpointer database) {
                     if (event == G_SOCKET_CLIENT_TLS_HANDSHAKING) {
                       g_tls_connection_set_database(G_TLS_CONNECTION(stream),
                                                     G_TLS_DATABASE(database));
                     }
                   }),
                   authority);
  GSocketConnection* connection =
      g_socket_client_connect_to_host(socket, "127.0.0.1", server.port(), nullptr, &error);
  ck_assert_msg(connection != nullptr, "%s", error != nullptr ? error->message : "");
  ck_assert(g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)),
                                      "PING\r\n", 6, nullptr, nullptr, nullptr));
  char answer[8] = "";
  g_input_stream_read_all(g_io_stream_get_input_stream(G_IO_STREAM(connection)), answer, 7, nullptr,
                          nullptr, nullptr);
  ck_assert_str_eq(answer, "+PONG\r\n");
  g_object_unref(connection);
  g_object_unref(authority);
  g_object_unref(socket);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("redis_server");
  TCase* tcase = tcase_create("redis_server");
  tcase_add_test(tcase, keeps_nothing_without_persistence);
  tcase_add_test(tcase, keeps_its_append_only_file);
  tcase_add_test(tcase, freezes_and_thaws);
  tcase_add_test(tcase, listens_on_a_socket);
  tcase_add_test(tcase, knows_the_users_of_the_acl);
  tcase_add_test(tcase, replicates);
  tcase_add_test(tcase, runs_as_a_cluster);
  tcase_add_test(tcase, speaks_tls);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
