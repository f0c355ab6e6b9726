// The element with a job in Redis: what the pipeline's user and other programs see.
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <gst/gst.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "fake_service.h"
#include "job_client.h"
#include "mirror_check.h"
#include "redis_cluster.h"
#include "redis_server.h"
#include "sink_fixture.h"
#include "sink_story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe;
using namespace transcribe::testing;
using namespace std::chrono_literals;

namespace {

Answer gated(const char* gate) {
  Answer answer;
  answer.gate = gate;
  return answer;
}

std::size_t infos(const SinkPipeline& pipeline) {
  std::size_t count = 0;
  for (const Seen& seen : pipeline.messages())
    count += GST_MESSAGE_TYPE(seen.message) == GST_MESSAGE_INFO ? 1 : 0;
  return count;
}

std::size_t resumed(const SinkPipeline& pipeline) {
  std::size_t count = 0;
  for (const GstStructure* result : pipeline.named("openaitranscribe/result")) {
    gboolean is = FALSE;
    gst_structure_get_boolean(result, "resumed", &is);
    count += is ? 1 : 0;
  }
  return count;
}

std::string unused_uri() {
  GSocketListener* listener = g_socket_listener_new();
  const guint16 port = g_socket_listener_add_any_inet_port(listener, nullptr, nullptr);
  g_object_unref(listener);
  return "redis://127.0.0.1:" + std::to_string(port);
}

}  // namespace

GST_START_TEST(test_jobs_without_a_request) {
  const RedisServer server;
  FakeService service;
  {
    auto empty = run(service, properties(server.uri()), GST_MESSAGE_EOS, 0);
    check_mirror(*empty, server.port());
  }
  {
    auto full = run(service, properties(server.uri(), "resume=restart"));
    check_mirror(*full, server.port());
  }
  const std::size_t before = service.requests().size();
  auto replay = run(service, properties(server.uri()));
  check_mirror(*replay, server.port());
  ck_assert_uint_eq(service.requests().size(), before);
  ck_assert_uint_eq(resumed(*replay), kChunks);

  // A recording that has grown since is another one: nothing of it is sent and lost.
  auto longer = run(service, properties(server.uri()), GST_MESSAGE_ERROR, kChunks + 2);
  ck_assert(g_error_matches(longer->error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
  ck_assert(std::strstr(longer->error()->message, "resume=restart") != nullptr);
  ck_assert_uint_eq(service.requests().size(), before);
  RedisClient redis(server.port());
  ck_assert(JobClient(redis, "talk").state() == "COMPLETED");
}
GST_END_TEST

GST_START_TEST(test_stopped_job_goes_on) {
  const RedisServer server;
  FakeService service;
  service.answer_with([](const Request& request) {
    return *request.chunk % 2 == 1 && request.attempt == 1 ? gated("never") : Answer();
  });
  std::string reference;
  {
    auto pipeline = start(service, properties(server.uri()));
    push_source(*pipeline);
    while (pipeline->stat("chunks-completed") < kChunks / 2) g_thread_yield();
    pipeline->set_state(GST_STATE_READY);
    // Stored before the state change has returned.
    check_mirror(*pipeline, server.port());
    RedisClient redis(server.port());
    JobClient job(redis, "talk");
    ck_assert(job.state() == "QUEUED");
    ck_assert(job.field("meta", "reason") == "stopped");
  }
  const std::size_t before = service.requests().size();
  auto pipeline = run(service, properties(server.uri()));
  check_mirror(*pipeline, server.port());
  ck_assert_uint_eq(service.requests().size() - before, kChunks / 2);
  ck_assert_uint_eq(resumed(*pipeline), kChunks / 2);
  auto whole = run(service, properties(server.uri(), "resume=restart"));
  ck_assert(pipeline->transcript() == whole->transcript());
}
GST_END_TEST

GST_START_TEST(test_other_source_is_refused) {
  const RedisServer server;
  FakeService service;
  service.answer_with([](const Request& request) {
    return *request.chunk == 7 ? Answer::error(401, "invalid_api_key") : Answer();
  });
  run(service, properties(server.uri(), "max-parallel=1"), GST_MESSAGE_ERROR);
  auto pipeline = start(service, properties(server.uri()));
  push_source(*pipeline, kChunks, 100);
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_ERROR);
  ck_assert(g_error_matches(pipeline->error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
  ck_assert(std::strstr(pipeline->error()->message, "Chunk 0") != nullptr);
}
GST_END_TEST

GST_START_TEST(test_failed_chunks) {
  const RedisServer server;
  FakeService service;
  service.answer_with([](const Request& request) {
    return *request.chunk == 3 ? Answer::error(400, "invalid_value", "", "bad", "file") : Answer();
  });
  auto failed = run(service, properties(server.uri()), GST_MESSAGE_ERROR);
  check_mirror(*failed, server.port());
  auto refused = run(service, properties(server.uri()), GST_MESSAGE_ERROR);
  ck_assert(std::strstr(refused->error()->message, "retry-failed") != nullptr);
  service.answer_with([](const Request&) { return Answer(); });
  const std::size_t before = service.requests().size();
  auto pipeline = run(service, properties(server.uri(), "resume=retry-failed"));
  check_mirror(*pipeline, server.port());
  ck_assert_uint_eq(service.requests().size(), before + 1);
}
GST_END_TEST

GST_START_TEST(test_required_without_a_server) {
  FakeService service;
  auto pipeline =
      run(service, properties(unused_uri(), "redis-policy=required"), GST_MESSAGE_ERROR);
  ck_assert(g_error_matches(pipeline->error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE));
  ck_assert_uint_eq(service.requests().size(), 0);
}
GST_END_TEST

GST_START_TEST(test_best_effort_without_a_server) {
  FakeService service;
  auto pipeline = run(service, properties(unused_uri(), "redis-flush-timeout=100"));
  ck_assert_uint_eq(pipeline->count("openaitranscribe/result"), kChunks);
  // The outage, which promises that everything is stored later; and that it was not.
  const auto warnings = pipeline->warnings();
  ck_assert_uint_eq(warnings.size(), 2);
  ck_assert(std::strstr(warnings[0].c_str(), "stored when the server is well again") != nullptr);
  ck_assert(std::strstr(warnings[1].c_str(), "is not stored in Redis at") != nullptr);
}
GST_END_TEST

GST_START_TEST(test_server_dies_and_comes_back_empty) {
  RedisServer server;
  FakeService service;
  service.answer_with(
      [](const Request& request) { return *request.chunk > 4 ? gated("later") : Answer(); });
  auto pipeline = start(service, properties(server.uri()));
  push_source(*pipeline);
  pipeline->wait_for("openaitranscribe/result", 4);
  server.kill();
  pipeline->wait(GST_MESSAGE_WARNING);
  server.restart();
  pipeline->wait(GST_MESSAGE_INFO);
  service.open_gate("later");
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline->warnings().size(), 1);
  ck_assert_uint_eq(infos(*pipeline), 1);
  check_mirror(*pipeline, server.port(), false);
}
GST_END_TEST

// Every node is there, and the cluster takes nothing for a while.
GST_START_TEST(test_cluster_is_down_for_a_while) {
  const bool required = __i__ == 1;
  const std::string stream = "transcribe:jobs:talk";
  RedisCluster cluster;
  FakeService service;
  service.answer_with([](const Request& request) {
    return *request.chunk == kChunks ? gated("later")
           : *request.chunk > 4      ? gated("down")
                                     : Answer();
  });
  // It lies on the node that redis-uri does not name.
  auto pipeline = start(service, properties(cluster.node_without(stream).uri(),
                                            required ? "redis-policy=required" : ""));
  push_source(*pipeline);
  pipeline->wait_for("openaitranscribe/result", 4);
  cluster.take_slot(stream);
  service.open_gate("down");
  pipeline->wait_for("openaitranscribe/result", kChunks - 1);
  if (pipeline->warnings().empty()) pipeline->wait(GST_MESSAGE_WARNING);
  ck_assert(std::strstr(pipeline->warnings().at(0).c_str(), "CLUSTERDOWN") != nullptr);
  if (required) {
    // Its end is held, too.
    service.open_gate("later");
    pipeline->wait_for("openaitranscribe/complete");
  }
  cluster.give_slot(stream);
  if (!required) {
    pipeline->wait(GST_MESSAGE_INFO);
    service.open_gate("later");
  }
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline->warnings().size(), 1);
  ck_assert_uint_eq(infos(*pipeline), 1);
  ck_assert_uint_eq(service.requests().size(), kChunks);
  check_mirror(*pipeline, cluster.node_of(stream).port());
}
GST_END_TEST

GST_START_TEST(test_required_holds_eos_until_stored) {
  RedisServer server;
  FakeService service;
  service.answer_with(
      [](const Request& request) { return *request.chunk == kChunks ? gated("later") : Answer(); });
  auto pipeline = start(service, properties(server.uri(), "redis-policy=required"));
  push_source(*pipeline);
  pipeline->wait_for("openaitranscribe/result", kChunks - 1);
  server.kill();
  pipeline->wait(GST_MESSAGE_WARNING);
  service.open_gate("later");
  pipeline->wait_for("openaitranscribe/complete");
  server.restart();
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline->warnings().size(), 1);
  ck_assert_uint_eq(infos(*pipeline), 1);
  check_mirror(*pipeline, server.port(), false);
}
GST_END_TEST

namespace {

// The job with its first chunk in Redis, and nothing more sent yet.
void push_first(SinkPipeline& pipeline, JobClient& job) {
  pipeline.push(noise(kSecond, 1), 0);
  pipeline.push(noise(kSecond / 2, 2), GST_SECOND);
  while (job.field("progress", "done") != "1") g_thread_yield();
}

void push_rest(SinkPipeline& pipeline) {
  pipeline.push(noise(kSecond / 2, 3), GST_SECOND + GST_SECOND / 2);
  for (std::size_t i = 2; i < kChunks; i++)
    pipeline.push(noise(kSecond, static_cast<unsigned>(3 + i)), i * GST_SECOND);
  pipeline.end_of_stream();
}

}  // namespace

// A server that hangs is found out by the timeout of an answer only: nobody waits that long.
GST_START_TEST(test_a_hanging_server_holds_no_slot) {
  RedisServer server;
  FakeService service;
  auto pipeline = start(service, properties(server.uri(), "max-parallel=2 requests-per-second=0"));
  RedisClient redis(server.port());
  JobClient job(redis, "talk");
  push_first(*pipeline, job);
  server.freeze();
  push_rest(*pipeline);
  pipeline->wait_for("openaitranscribe/result", kChunks);
  ck_assert(pipeline->warnings().empty());
  server.thaw();
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
  check_mirror(*pipeline, server.port());
}
GST_END_TEST

GST_START_TEST(test_a_dead_server_holds_no_slot) {
  RedisServer server;
  FakeService service;
  auto pipeline = start(
      service,
      properties(server.uri(), "max-parallel=1 requests-per-second=0 redis-flush-timeout=100"));
  RedisClient redis(server.port());
  JobClient job(redis, "talk");
  push_first(*pipeline, job);
  server.kill();
  push_rest(*pipeline);
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline->count("openaitranscribe/result"), kChunks);
  // The outage, where it was found out before the end; and that the end is not stored.
  const auto warnings = pipeline->warnings();
  ck_assert_uint_ge(warnings.size(), 1);
  ck_assert_uint_le(warnings.size(), 2);
  ck_assert(std::strstr(warnings.back().c_str(), "is not stored in Redis at") != nullptr);
}
GST_END_TEST

GST_START_TEST(test_required_and_never_stored) {
  RedisServer server;
  FakeService service;
  service.answer_with(
      [](const Request& request) { return *request.chunk == kChunks ? gated("later") : Answer(); });
  auto pipeline =
      start(service, properties(server.uri(), "redis-policy=required redis-flush-timeout=200"));
  push_source(*pipeline);
  pipeline->wait_for("openaitranscribe/result", kChunks - 1);
  server.kill();
  pipeline->wait(GST_MESSAGE_WARNING);
  service.open_gate("later");
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_ERROR);
  ck_assert(g_error_matches(pipeline->error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_WRITE));
  ck_assert_uint_eq(pipeline->warnings().size(), 1);
}
GST_END_TEST

GST_START_TEST(test_live_source_goes_on_behind_the_last_chunk) {
  const RedisServer server;
  FakeService service;
  const std::string settings = properties(server.uri());
  const auto live = [&](unsigned seed, bool end) {
    auto pipeline =
        std::make_unique<SinkPipeline>(SinkPipeline::with_source(service.url(), settings));
    g_object_set(pipeline->source(), "is-live", TRUE, nullptr);
    ck_assert_int_ne(pipeline->try_state(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    for (unsigned i = 0; i < 3; i++) pipeline->push(noise(kSecond, seed + i), i * GST_SECOND);
    if (end) {
      pipeline->end_of_stream();
      ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
    } else {
      pipeline->wait_for("openaitranscribe/result", 3);
      pipeline->set_state(GST_STATE_NULL);
    }
    return pipeline;
  };
  live(1, false);
  auto pipeline = live(50, true);
  ck_assert_uint_eq(service.requests().size(), 6);
  ck_assert_uint_eq(resumed(*pipeline), 3);
  const auto results = pipeline->named("openaitranscribe/result");
  ck_assert_uint_eq(results.size(), 6);
  for (std::size_t i = 0; i < 6; i++) ck_assert_uint_eq(uint64_field(results[i], "chunk-index"), i);
  check_mirror(*pipeline, server.port());

  // A job that has come to its end takes nothing more.
  auto late = std::make_unique<SinkPipeline>(SinkPipeline::with_source(service.url(), settings));
  g_object_set(late->source(), "is-live", TRUE, nullptr);
  ck_assert_int_ne(late->try_state(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
  late->push(noise(kSecond, 90), 0);
  ck_assert_int_eq(late->wait(), GST_MESSAGE_ERROR);
  ck_assert(g_error_matches(late->error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
  ck_assert_uint_eq(service.requests().size(), 6);
}
GST_END_TEST

GST_START_TEST(test_live_source_keeps_failures_and_silence) {
  char* const directory = g_dir_make_tmp("live-XXXXXX", nullptr);
  const bool journal = __i__ == 1;
  const RedisServer server;
  FakeService service;
  service.answer_with([](const Request& request) {
    return *request.chunk == 3 ? Answer::error(413, "too_large") : Answer();
  });
  const std::string settings = journal ? std::string("job-id=talk journal-directory=") + directory
                                       : "job-id=talk redis-uri=" + server.uri();
  const auto live = [&] {
    auto pipeline =
        std::make_unique<SinkPipeline>(SinkPipeline::with_source(service.url(), settings));
    g_object_set(pipeline->source(), "is-live", TRUE, nullptr);
    ck_assert_int_ne(pipeline->try_state(GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    return pipeline;
  };
  {
    auto pipeline = live();
    for (unsigned i = 0; i < 2; i++) {
      pipeline->push(noise(2 * kSecond, 1 + i), i * 8 * GST_SECOND);
      pipeline->push(std::vector<std::int16_t>(6 * kSecond), (i * 8 + 2) * GST_SECOND);
    }
    pipeline->wait_for("openaitranscribe/chunk-failed");
    ck_assert_uint_eq(pipeline->count("openaitranscribe/chunk-skipped"), 1);
    pipeline->set_state(GST_STATE_NULL);
  }
  RedisClient redis(server.port());
  JobClient job(redis, "talk");
  const auto chunks = job.all("chunks");
  const auto errors = job.all("cerr");
  if (!journal) ck_assert(chunks.size() >= 2 && errors.size() == 1 && errors.contains("2"));

  auto pipeline = live();
  pipeline->push(noise(2 * kSecond, 9), 0);
  pipeline->push(std::vector<std::int16_t>(6 * kSecond), 2 * GST_SECOND);
  pipeline->end_of_stream();
  ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_ERROR);
  ck_assert_msg(std::strstr(pipeline->error()->message, "(index 2)") != nullptr, "%s",
                pipeline->error()->message);
  ck_assert_uint_eq(service.requests().size(), 3);
  const auto results = pipeline->named("openaitranscribe/result");
  ck_assert_uint_eq(results.size(), 2);
  ck_assert_uint_eq(uint64_field(results[0], "chunk-index"), 0);
  ck_assert_uint_ge(uint64_field(results[1], "chunk-index"), 3);
  ck_assert_uint_eq(pipeline->count("openaitranscribe/chunk-failed"), 1);
  const auto skipped = pipeline->named("openaitranscribe/chunk-skipped");
  ck_assert(string_field(skipped.at(0), "reason") == "silence");
  ck_assert_uint_eq(uint64_field(skipped.at(0), "chunk-index"), 1);
  if (!journal) {
    check_mirror(*pipeline, server.port());
    ck_assert(job.all("cerr") == errors);
    for (const auto& [index, record] : chunks) ck_assert(job.all("chunks")[index] == record);
  }
  ::remove((std::string(directory) + "/talk.jsonl").c_str());
  ::remove(directory);
  g_free(directory);
}
GST_END_TEST

GST_START_TEST(test_journal_refills_an_empty_server) {
  char* const directory = g_dir_make_tmp("union-XXXXXX", nullptr);
  const RedisServer server;
  FakeService service;
  service.answer_with([](const Request& request) {
    return *request.chunk > 5 ? Answer::error(401, "invalid_api_key") : Answer();
  });
  const std::string settings =
      properties(server.uri(), std::string("max-parallel=1 journal-directory=") + directory);
  run(service, settings, GST_MESSAGE_ERROR);
  RedisClient redis(server.port());
  redis("FLUSHALL");
  service.answer_with([](const Request&) { return Answer(); });
  const std::size_t before = service.requests().size();
  auto pipeline = run(service, settings);
  ck_assert_uint_eq(resumed(*pipeline), 5);
  ck_assert_uint_eq(service.requests().size() - before, kChunks - 5);
  check_mirror(*pipeline, server.port());
  GDir* dir = g_dir_open(directory, 0, nullptr);
  while (const char* name = g_dir_read_name(dir))
    std::remove((std::string(directory) + "/" + name).c_str());
  g_dir_close(dir);
  std::remove(directory);
  g_free(directory);
}
GST_END_TEST

namespace {

// Before the first buffer.
void answer_uri(SinkPipeline& pipeline, const std::string& uri) {
  GstPad* pad = gst_element_get_static_pad(pipeline.source(), "src");
  gst_pad_add_probe(
      pad, GST_PAD_PROBE_TYPE_QUERY_UPSTREAM,
      [](GstPad*, GstPadProbeInfo* info, gpointer text) {
        GstQuery* query = GST_PAD_PROBE_INFO_QUERY(info);
        if (GST_QUERY_TYPE(query) != GST_QUERY_URI) return GST_PAD_PROBE_OK;
        // gst_query_set_uri() takes no URI that is none.
        gst_structure_set(gst_query_writable_structure(query), "uri", G_TYPE_STRING,
                          static_cast<const char*>(text), nullptr);
        return GST_PAD_PROBE_HANDLED;
      },
      g_strdup(uri.c_str()), g_free);
  gst_object_unref(pad);
}

}  // namespace

GST_START_TEST(test_meta_of_a_file) {
  const RedisServer server;
  FakeService service;
  char* const directory = g_dir_make_tmp("source-XXXXXX", nullptr);
  ck_assert_int_eq(g_chdir(directory), 0);
  char* const here = g_get_current_dir();
  const std::string path = std::string(here) + "/a b?\xc3\xa4.raw";
  const auto samples = noise(2 * kSecond);
  ck_assert(g_file_set_contents(path.c_str(), reinterpret_cast<const char*>(samples.data()),
                                static_cast<gssize>(samples.size() * sizeof(samples[0])), nullptr));
  SinkPipeline pipeline("filesrc location=\"" + path +
                        "\" ! rawaudioparse use-sink-caps=false format=pcm pcm-format=s16le "
                        "sample-rate=16000 num-channels=1 ! queue ! openaitranscribesink name=sink "
                        "requests-per-second=0 base-url=" +
                        service.url() + " " + properties(server.uri(), "location=talk.txt"));
  pipeline.set_state(GST_STATE_PLAYING);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_mirror(pipeline, server.port());
  RedisClient redis(server.port());
  const auto meta = JobClient(redis, "talk").all("meta");
  char* const uri = g_filename_to_uri(path.c_str(), nullptr, nullptr);
  const std::map<std::string, std::string> wanted = {
      {"source", uri},   {"host", g_get_host_name()}, {"format", "S16LE"},
      {"rate", "16000"}, {"channels", "1"},           {"location", std::string(here) + "/talk.txt"},
      {"reason", "eos"}, {"state", "COMPLETED"},      {"model", "gpt-transcribe"},
      {"language", ""}};
  for (const auto& [name, value] : wanted)
    ck_assert_msg(meta.contains(name) && meta.at(name) == value, "%s is not %s", name.c_str(),
                  value.c_str());
  // Those of docs/redis.md, and no more.
  std::set<std::string> names = {"schema",       "fp",      "created_ms",  "since_ms",
                                 "min_chunk_ns", "program", "max_chunk_ns"};
  for (const auto& field : wanted) names.insert(field.first);
  for (const auto& field : meta)
    ck_assert_msg(names.erase(field.first) == 1, "%s", field.first.c_str());
  ck_assert(names.empty());

  // Where the audio comes from is none of the settings.
  pipeline.set_state(GST_STATE_NULL);
  auto again = start(service, properties(server.uri()));
  again->push(samples, 0);
  again->end_of_stream();
  ck_assert_int_eq(again->wait(), GST_MESSAGE_EOS);
  ck_assert_uint_eq(resumed(*again), 2);
  ck_assert(JobClient(redis, "talk").all("meta") == meta);

  std::remove(path.c_str());
  std::remove("talk.txt");
  std::remove(directory);
  g_free(uri);
  g_free(here);
  g_free(directory);
}
GST_END_TEST

GST_START_TEST(test_sources_that_are_told) {
  const RedisServer server;
  FakeService service;
  RedisClient redis(server.port());
  JobClient job(redis, "talk");
  run(service, properties(server.uri()), GST_MESSAGE_EOS, 1);
  ck_assert(!job.all("meta").contains("source"));
  const struct {
    std::string uri;
    std::string stored;  // "-": not at all
  } cases[] = {
      {"https://example.org/talk.ogg", "https://example.org/talk.ogg"},
      {"https://user:secret@example.org/talk.ogg?token=secret#secret",
       "https://example.org/talk.ogg?..."},
      {"https://user:sec/ret@example.org/talk.ogg", "-"},
      {"file:///music/" + std::string(100000, 'x'), "-"},
      {"file:///music/\r\n*1\r\n$8\r\nFLUSHALL\r\n", "-"},
      {"no URI", "-"},
      {"", "-"},
  };
  for (const auto& one : cases) {
    auto pipeline = start(service, properties(server.uri(), "resume=restart"));
    answer_uri(*pipeline, one.uri);
    push_source(*pipeline, 1);
    ck_assert_int_eq(pipeline->wait(), GST_MESSAGE_EOS);
    ck_assert(pipeline->warnings().empty());
    check_mirror(*pipeline, server.port(), false);
    ck_assert_msg(job.field("meta", "source") == one.stored, "%s", one.uri.c_str());
    ck_assert(job.dump().find("secret") == std::string::npos);
    ck_assert(job.dump().find("ret@") == std::string::npos);
  }
}
GST_END_TEST

static Suite* sink_redis_suite() {
  Suite* suite = suite_create("sink_redis");
  TCase* tests = tcase_create("general");
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_jobs_without_a_request);
  tcase_add_test(tests, test_stopped_job_goes_on);
  tcase_add_test(tests, test_other_source_is_refused);
  tcase_add_test(tests, test_failed_chunks);
  tcase_add_test(tests, test_required_without_a_server);
  tcase_add_test(tests, test_best_effort_without_a_server);
  tcase_add_test(tests, test_server_dies_and_comes_back_empty);
  tcase_add_loop_test(tests, test_cluster_is_down_for_a_while, 0, 2);
  tcase_add_test(tests, test_required_holds_eos_until_stored);
  tcase_add_test(tests, test_a_hanging_server_holds_no_slot);
  tcase_add_test(tests, test_a_dead_server_holds_no_slot);
  tcase_add_test(tests, test_required_and_never_stored);
  tcase_add_test(tests, test_live_source_goes_on_behind_the_last_chunk);
  tcase_add_loop_test(tests, test_live_source_keeps_failures_and_silence, 0, 2);
  tcase_add_test(tests, test_journal_refills_an_empty_server);
  tcase_add_test(tests, test_meta_of_a_file);
  tcase_add_test(tests, test_sources_that_are_told);
  return suite;
}

GST_CHECK_MAIN(sink_redis)
