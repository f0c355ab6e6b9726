// A job that is stopped or killed goes on where it was, with a journal.
#include <gst/gst.h>

#include <cstdio>
#include <memory>
#include <set>
#include <string>

#include "fake_service.h"
#include "sink_fixture.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

constexpr std::size_t kSecond = 16000;
constexpr std::size_t kChunks = 8;

class Directory {
 public:
  Directory() {
    char* path = g_dir_make_tmp("resume-XXXXXX", nullptr);
    path_ = path;
    g_free(path);
  }
  ~Directory() {
    GDir* dir = g_dir_open(path_.c_str(), 0, nullptr);
    while (const char* name = g_dir_read_name(dir)) ::remove((path_ + "/" + name).c_str());
    g_dir_close(dir);
    ::remove(path_.c_str());
  }
  std::string file(const char* name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string contents(const std::string& path) {
  char* text = nullptr;
  if (!g_file_get_contents(path.c_str(), &text, nullptr, nullptr)) return "";
  std::string result = text;
  g_free(text);
  return result;
}

std::string properties(const Directory& directory, const std::string& more = "") {
  return "split=fixed max-chunk-duration=1000000000 job-id=talk journal-directory=" +
         directory.path() + " location=" + directory.file("talk.srt") + " " + more;
}

// Pushes the same seconds of audio in every run.
void push_source(SinkPipeline& pipeline, std::size_t chunks = kChunks, unsigned seed = 1) {
  for (std::size_t i = 0; i < chunks; i++)
    pipeline.push(noise(kSecond, static_cast<unsigned>(seed + i)), i * GST_SECOND);
  pipeline.end_of_stream();
}

GstMessageType run(const FakeService& service, const Directory& directory,
                   const std::string& more = "", std::size_t chunks = kChunks, unsigned seed = 1,
                   std::unique_ptr<SinkPipeline>* out = nullptr) {
  auto pipeline = std::make_unique<SinkPipeline>(
      SinkPipeline::with_source(service.url(), properties(directory, more)));
  pipeline->set_state(GST_STATE_PLAYING);
  push_source(*pipeline, chunks, seed);
  const GstMessageType type = pipeline->wait();
  if (out != nullptr) *out = std::move(pipeline);
  return type;
}

}  // namespace

GST_START_TEST(test_stopped_job_goes_on) {
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer;
    if (*request.chunk % 2 == 1 && request.attempt == 1) answer.gate = "never";
    return answer;
  });
  const Directory directory;
  const Directory reference;
  std::set<std::uint64_t> done;
  {
    auto pipeline = SinkPipeline::with_source(service.url(), properties(directory));
    pipeline.set_state(GST_STATE_PLAYING);
    push_source(pipeline);
    ck_assert(service.wait_for_answers(kChunks / 2, std::chrono::seconds(20)));
    // In the journal before it is counted as done.
    while (pipeline.stat("chunks-completed") < kChunks / 2) g_thread_yield();
    pipeline.set_state(GST_STATE_NULL);
  }
  for (const Request& request : service.requests()) {
    if (request.status == 200) done.insert(*request.chunk);
  }
  ck_assert_uint_eq(done.size(), kChunks / 2);
  const std::size_t before = service.requests().size();

  std::unique_ptr<SinkPipeline> pipeline;
  ck_assert_int_eq(run(service, directory, "", kChunks, 1, &pipeline), GST_MESSAGE_EOS);
  const auto requests = service.requests();
  ck_assert_uint_eq(requests.size() - before, kChunks / 2);
  for (std::size_t i = before; i < requests.size(); i++)
    ck_assert(!done.contains(*requests[i].chunk));

  const auto results = pipeline->named("openaitranscribe/result");
  ck_assert_uint_eq(results.size(), kChunks);
  for (std::size_t i = 0; i < kChunks; i++) {
    gboolean resumed = FALSE;
    ck_assert(gst_structure_get_boolean(results[i], "resumed", &resumed));
    ck_assert_int_eq(resumed != FALSE, done.contains(i + 1));
  }
  ck_assert_uint_eq(pipeline->stat("chunks-resumed"), kChunks / 2);
  ck_assert_uint_eq(pipeline->stat("chunks-completed"), kChunks);
  ck_assert_uint_eq(pipeline->stat("chunks-submitted"), kChunks);

  ck_assert_int_eq(run(service, reference), GST_MESSAGE_EOS);
  ck_assert(contents(directory.file("talk.srt")) == contents(reference.file("talk.srt")));
  ck_assert(!g_file_test(directory.file("talk.srt.part").c_str(), G_FILE_TEST_EXISTS));
}
GST_END_TEST;

GST_START_TEST(test_complete_job_is_replayed) {
  FakeService service;
  const Directory directory;
  ck_assert_int_eq(run(service, directory), GST_MESSAGE_EOS);
  const std::string text = contents(directory.file("talk.srt"));
  const std::string journal = contents(directory.file("talk.jsonl"));
  const std::size_t before = service.requests().size();
  std::unique_ptr<SinkPipeline> pipeline;
  ck_assert_int_eq(run(service, directory, "", kChunks, 1, &pipeline), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), before);
  ck_assert_uint_eq(pipeline->stat("chunks-resumed"), kChunks);
  ck_assert(string_field(pipeline->named("openaitranscribe/complete")[0], "state") == "COMPLETED");
  ck_assert(contents(directory.file("talk.srt")) == text);
  ck_assert(contents(directory.file("talk.jsonl")) == journal);
}
GST_END_TEST;

GST_START_TEST(test_another_source_is_refused) {
  FakeService service;
  const Directory directory;
  ck_assert_int_eq(run(service, directory), GST_MESSAGE_EOS);
  const std::string text = contents(directory.file("talk.srt"));
  const std::size_t before = service.requests().size();
  struct {
    std::size_t chunks;
    unsigned seed;
    const char* named;
  } const cases[] = {{kChunks, 100, "Chunk 0 differs"}, {kChunks - 2, 1, "before chunk 6"}};
  for (const auto& other : cases) {
    std::unique_ptr<SinkPipeline> pipeline;
    ck_assert_int_eq(run(service, directory, "", other.chunks, other.seed, &pipeline),
                     GST_MESSAGE_ERROR);
    ck_assert(g_error_matches(pipeline->error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
    ck_assert(strstr(pipeline->error()->message, other.named) != nullptr);
    ck_assert(contents(directory.file("talk.srt")) == text);
    ck_assert(!g_file_test(directory.file("talk.srt.part").c_str(), G_FILE_TEST_EXISTS));
  }
  ck_assert_uint_eq(service.requests().size(), before);
  // And taken when it is asked for.
  ck_assert_int_eq(run(service, directory, "resume=restart", kChunks, 100), GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), before + kChunks);
}
GST_END_TEST;

GST_START_TEST(test_other_settings_are_refused) {
  FakeService service;
  const Directory directory;
  ck_assert_int_eq(run(service, directory), GST_MESSAGE_EOS);
  for (const char* other : {"model=another", "pause-duration=200000000", "language-code=de"}) {
    std::unique_ptr<SinkPipeline> pipeline;
    ck_assert_int_eq(run(service, directory, other, kChunks, 1, &pipeline), GST_MESSAGE_ERROR);
    ck_assert(g_error_matches(pipeline->error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
  }
}
GST_END_TEST;

GST_START_TEST(test_two_owners) {
  FakeService service;
  service.answer_with([](const Request&) {
    Answer answer;
    answer.gate = "go";
    return answer;
  });
  const Directory directory;
  auto first = SinkPipeline::with_source(service.url(), properties(directory));
  first.set_state(GST_STATE_PLAYING);
  push_source(first);
  ck_assert(service.wait_for_requests(1, std::chrono::seconds(20)));
  std::unique_ptr<SinkPipeline> second;
  ck_assert_int_eq(run(service, directory, "", kChunks, 1, &second), GST_MESSAGE_ERROR);
  ck_assert(g_error_matches(second->error(), GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY));
  ck_assert_uint_eq(second->count("openaitranscribe/result"), 0);
  service.open_gate("go");
  ck_assert_int_eq(first.wait(), GST_MESSAGE_EOS);
}
GST_END_TEST;

GST_START_TEST(test_failed_chunks) {
  FakeService service;
  service.answer_with([](const Request& request) {
    return *request.chunk == 3 ? Answer::error(400, "invalid_value", "", "bad", "file") : Answer();
  });
  const Directory directory;
  ck_assert_int_eq(run(service, directory), GST_MESSAGE_ERROR);
  std::unique_ptr<SinkPipeline> refused;
  ck_assert_int_eq(run(service, directory, "", kChunks, 1, &refused), GST_MESSAGE_ERROR);
  ck_assert(strstr(refused->error()->message, "retry-failed") != nullptr);
  service.answer_with([](const Request&) { return Answer(); });
  const std::size_t before = service.requests().size();
  std::unique_ptr<SinkPipeline> pipeline;
  ck_assert_int_eq(run(service, directory, "resume=retry-failed", kChunks, 1, &pipeline),
                   GST_MESSAGE_EOS);
  ck_assert_uint_eq(service.requests().size(), before + 1);
  ck_assert_uint_eq(pipeline->stat("chunks-resumed"), kChunks - 1);
}
GST_END_TEST;

GST_START_TEST(test_job_wide_error_goes_on) {
  FakeService service;
  service.answer_with([](const Request& request) {
    return *request.chunk > 4 ? Answer::error(401, "invalid_api_key") : Answer();
  });
  const Directory directory;
  std::unique_ptr<SinkPipeline> first;
  ck_assert_int_eq(run(service, directory, "max-parallel=1", kChunks, 1, &first),
                   GST_MESSAGE_ERROR);
  first.reset();
  service.answer_with([](const Request&) { return Answer(); });
  std::unique_ptr<SinkPipeline> pipeline;
  ck_assert_int_eq(run(service, directory, "", kChunks, 1, &pipeline), GST_MESSAGE_EOS);
  ck_assert_uint_eq(pipeline->stat("chunks-resumed"), 4);
}
GST_END_TEST;

GST_START_TEST(test_journal_without_a_job_id) {
  const Directory directory;
  const struct {
    const char* properties;
    std::size_t warnings;
  } cases[] = {{"", 1}, {" job-id=talk", 0}, {" redis-uri=redis://127.0.0.1:1", 0}};
  for (const auto& one : cases) {
    SinkPipeline pipeline(
        "identity openaitranscribesink name=sink auth-scheme=none "
        "base-url=http://127.0.0.1:1/v1 journal-directory=" +
        directory.path() + one.properties);
    pipeline.set_state(GST_STATE_READY);
    pipeline.collect();
    const auto warnings = pipeline.warnings();
    ck_assert_uint_eq(warnings.size(), one.warnings);
    if (!warnings.empty()) ck_assert(strstr(warnings[0].c_str(), "set job-id") != nullptr);
  }
}
GST_END_TEST;

static Suite* resume_suite(void) {
  Suite* suite = suite_create("resume");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_stopped_job_goes_on);
  tcase_add_test(tests, test_complete_job_is_replayed);
  tcase_add_test(tests, test_another_source_is_refused);
  tcase_add_test(tests, test_other_settings_are_refused);
  tcase_add_test(tests, test_two_owners);
  tcase_add_test(tests, test_failed_chunks);
  tcase_add_test(tests, test_job_wide_error_goes_on);
  tcase_add_test(tests, test_journal_without_a_job_id);
  return suite;
}
GST_CHECK_MAIN(resume);
