// The transcript file when chunks fail, the job ends early or the disk is full: holes are shown,
// what is there are whole records, and a file that is not complete is an ERROR.
#include <fcntl.h>
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <json-glib/json-glib.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "fake_service.h"
#include "story.h"

#include <gst/check/gstcheck.h>

using namespace transcribe::testing;

namespace {

const char* const kFormats[] = {"txt", "srt", "vtt", "jsonl", "json"};
enum { kTxt, kSrt, kVtt, kJsonl, kJson };
constexpr int kFormatCount = 5;

class Folder {
 public:
  Folder() {
    char* path = g_dir_make_tmp("transcript-XXXXXX", nullptr);
    path_ = path;
    g_free(path);
  }
  ~Folder() {
    for (const std::string& name : names()) g_unlink(file(name).c_str());
    g_rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    GDir* directory = g_dir_open(path_.c_str(), 0, nullptr);
    while (const char* name = g_dir_read_name(directory)) all.emplace_back(name);
    g_dir_close(directory);
    return all;
  }

 private:
  std::string path_;
};

std::string read_file(const std::string& path) {
  char* text = nullptr;
  gsize size = 0;
  ck_assert_msg(g_file_get_contents(path.c_str(), &text, &size, nullptr), "no %s", path.c_str());
  const std::string contents(text, size);
  g_free(text);
  return contents;
}

std::string member(const std::string& json, const char* path) {
  GError* error = nullptr;
  JsonNode* root = json_from_string(json.c_str(), &error);
  ck_assert_msg(error == nullptr, "%s: %s", error != nullptr ? error->message : "", json.c_str());
  JsonNode* found = json_path_query(path, root, &error);
  ck_assert(error == nullptr);
  char* text = json_to_string(found, FALSE);
  const std::string result = text;
  g_free(text);
  json_node_unref(found);
  json_node_unref(root);
  return result;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    ck_assert_msg(end != std::string::npos, "a torn line: %s", text.c_str() + at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

SinkPipeline start(const FakeService& service, const std::string& location,
                   const std::string& properties = "") {
  auto pipeline = SinkPipeline::with_source(
      service.url(), std::string(kOneByOne) + "location=" + location + " " + properties);
  pipeline.set_state(GST_STATE_PLAYING);
  return pipeline;
}

// Four seconds, of which `what` became of the second chunk.
void check_file(const std::string& path, int format, const std::string& what,
                const char* json_status) {
  const std::string text = read_file(path);
  const char* const between = format == kTxt ? " " : "\n";
  const std::string hole = "[not transcribed: " + what + "," + between + "0:00:01 – 0:00:02]";
  switch (format) {
    case kTxt:
      assert_text(text, "chunk 1\n" + hole + "\nchunk 3\nchunk 4\n");
      break;
    case kSrt:
      assert_text(text,
                  "1\n00:00:00,000 --> 00:00:01,000\nchunk 1\n\n"
                  "2\n00:00:01,000 --> 00:00:02,000\n" +
                      hole +
                      "\n\n3\n00:00:02,000 --> 00:00:03,000\nchunk 3\n\n"
                      "4\n00:00:03,000 --> 00:00:04,000\nchunk 4\n\n");
      break;
    case kVtt:
      assert_text(text,
                  "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nchunk 1\n\n"
                  "00:00:01.000 --> 00:00:02.000\n" +
                      hole +
                      "\n\n00:00:02.000 --> 00:00:03.000\nchunk 3\n\n"
                      "00:00:03.000 --> 00:00:04.000\nchunk 4\n\n");
      break;
    case kJsonl: {
      const std::vector<std::string> lines = lines_of(text);
      ck_assert_uint_eq(lines.size(), 4);
      for (std::size_t i = 0; i < 4; i++) {
        assert_text(member(lines[i], "$.index"), "[" + std::to_string(i) + "]");
        assert_text(member(lines[i], "$.status"),
                    i == 1 ? std::string("[\"") + json_status + "\"]" : "[\"done\"]");
      }
      break;
    }
    default:
      assert_text(member(text, "$.chunks[*].index"), "[0,1,2,3]");
      assert_text(member(text, "$.chunks[*].status"),
                  std::string("[\"done\",\"") + json_status + "\",\"done\",\"done\"]");
      assert_text(member(text, "$.text"), "[\"chunk 1 chunk 3 chunk 4\"]");
      break;
  }
}

}  // namespace

GST_START_TEST(test_failed_chunk_is_a_hole) {
  for (const bool ignore : {false, true}) {
    Folder folder;
    const std::string path = folder.file(std::string("t.") + kFormats[__i__]);
    FakeService service;
    service.answer_with([](const Request& request) {
      return request.chunk == 2 ? Answer::error(413, "too_big") : Answer();
    });
    auto pipeline = start(service, path, ignore ? "on-error=ignore" : "");
    push_seconds(pipeline, 4);
    pipeline.wait();
    if (ignore) {
      check_ending(pipeline, {"FAILED", "chunks-failed", "COMPLETE", "eos", "WRITE"});
    } else {
      check_ending(pipeline, {"FAILED", "chunks-failed", "ERROR", "WRITE"});
    }
    check_file(path, __i__, "HTTP 413", "failed");
    ck_assert_uint_eq(folder.names().size(), 1);
  }
}
GST_END_TEST;

GST_START_TEST(test_lost_network_is_a_hole) {
  Folder folder;
  const std::string path = folder.file(std::string("t.") + kFormats[__i__]);
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer;
    if (request.chunk == 2) answer.reset = Reset::kAfterBody;
    answer.close = true;
    return answer;
  });
  auto pipeline = start(service, path, "retries=1");
  push_seconds(pipeline, 4);
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  check_mirrored(pipeline);
  check_file(path, __i__, "network", "failed");
}
GST_END_TEST;

GST_START_TEST(test_dropped_chunk_is_a_hole) {
  Folder folder;
  const std::string path = folder.file(std::string("t.") + kFormats[__i__]);
  FakeService service;
  service.answer_with([](const Request&) {
    Answer answer;
    answer.gate = "go";
    return answer;
  });
  auto pipeline = start(service, path, "leaky=downstream max-queued-chunks=2");
  pipeline.push(noise(kSecond), 0);
  ck_assert(service.wait_for_requests(1, std::chrono::seconds(20)));
  pipeline.push(noise(3 * kSecond), GST_SECOND);
  pipeline.wait_for("openaitranscribe/chunk-queued", 4);
  service.open_gate("go");
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_mirrored(pipeline);
  check_file(path, __i__, "queue-full", "skipped");
}
GST_END_TEST;

// What was transcribed behind the chunk that ended the job is kept, in its place.
GST_START_TEST(test_unsettled_chunk_is_a_hole) {
  Folder folder;
  const std::string path = folder.file(std::string("t.") + kFormats[__i__]);
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer = request.chunk == 2 ? Answer::error(401) : Answer();
    if (request.chunk == 2) answer.gate = "go";
    return answer;
  });
  auto pipeline = start(service, path, "max-parallel=4");
  push_seconds(pipeline, 4);
  ck_assert(service.wait_for_requests(4, std::chrono::seconds(20)));
  while (pipeline.stat("chunks-completed") < 3) g_thread_yield();
  service.open_gate("go");
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_ERROR);
  check_mirrored(pipeline);
  check_file(path, __i__, "job ended", "unsettled");
}
GST_END_TEST;

GST_START_TEST(test_stopped_job_leaves_a_readable_file) {
  Folder folder;
  const std::string path = folder.file(std::string("t.") + kFormats[__i__]);
  FakeService service;
  service.answer_with([](const Request& request) {
    Answer answer;
    answer.hang = request.chunk == 2;
    return answer;
  });
  auto pipeline = start(service, path, "max-parallel=4");
  push_seconds(pipeline, 4);
  ck_assert(service.wait_for_requests(4, std::chrono::seconds(20)));
  while (pipeline.stat("chunks-completed") < 3) g_thread_yield();
  pipeline.set_state(GST_STATE_READY);
  check_mirrored(pipeline);
  check_file(path, __i__, "job ended", "unsettled");
}
GST_END_TEST;

GST_START_TEST(test_unwritable_location) {
  Folder folder;
  const std::string file = folder.file("file");
  ck_assert(g_file_set_contents(file.c_str(), "x", 1, nullptr));
  FakeService service;
  for (const std::string& location :
       {std::string("/nonexistent-directory/t.srt"), folder.path(), file + "/t.txt"}) {
    for (const char* format : kFormats) {
      auto pipeline = SinkPipeline::with_source(
          service.url(), "location=" + location + " location-format=" + format);
      ck_assert_int_eq(pipeline.try_state(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
      pipeline.collect();
      ck_assert_msg(pipeline.error() != nullptr, "%s", location.c_str());
      assert_text(code_name(pipeline.error()), "OPEN_WRITE");
      ck_assert(std::string(pipeline.error()->message).find("location") != std::string::npos);
    }
  }
  ck_assert_uint_eq(folder.names().size(), 1);
  ck_assert_uint_eq(service.requests().size(), 0);
}
GST_END_TEST;

namespace {

constexpr unsigned kMany = 40;
constexpr std::size_t kLength = 3000;  // of a text
// Room for about half of them. Check's own file in this process must stay below, too.
constexpr rlim_t kRoom = 60000;
constexpr const char* kOldFile = "what was there before\n";

void limit_files_to(rlim_t bytes) {
  rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = bytes;
  ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

// Long texts, so that a small disk is full soon.
void answer_at_length(FakeService& service) {
  service.answer_with([](const Request& request) {
    Answer answer;
    answer.body = "{\"text\":\"" + default_text(request) + std::string(kLength, '.') + "\"}";
    return answer;
  });
}

bool has_cues(int format) { return format == kSrt || format == kVtt; }

// The text of all cues. A long one is cut into several, at spaces and within words: none is left.
std::string text_of_cues(const std::string& file) {
  std::string text;
  bool inside = false;
  for (const std::string& line : lines_of(file)) {
    const bool is_time = line.find(" --> ") != std::string::npos;
    if (inside && !is_time) text += line;
    inside = is_time || (inside && !line.empty());
  }
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  return text;
}

// As it stands in what text_of_cues() or the file holds.
std::string number_of(unsigned chunk, int format) {
  return (has_cues(format) ? "chunk" : "chunk ") + std::to_string(chunk);
}

// Whole records, in order from the first on; fewer than all of them.
void check_beginning(const std::string& path, int format) {
  const std::string file = read_file(path);
  const std::string text = has_cues(format) ? text_of_cues(file) : file;
  if (format == kJson) {
    assert_text(text, kOldFile);
    return;
  }
  std::size_t at = 0;
  unsigned records = 0;
  for (;; records++) {
    const std::string words = number_of(records + 1, format) + std::string(kLength, '.');
    const std::size_t found = text.find(words, at);
    if (found == std::string::npos) break;
    at = found + words.size();
  }
  ck_assert_uint_gt(records, 0);
  ck_assert_uint_lt(records, kMany);
  const std::string end = text.substr(at);
  if (format == kTxt) assert_text(end, "\n");
  if (has_cues(format)) {
    assert_text(end, "");
    ck_assert(file.ends_with("\n\n"));
  }
  if (format == kJsonl) {
    for (const std::string& line : lines_of(text)) member(line, "$.index");
  }
}

void run_on_a_full_disk(const Folder& folder, int format, const char* properties, bool fail_one) {
  const std::string path = folder.file(std::string("t.") + kFormats[format]);
  FakeService service;
  answer_at_length(service);
  if (fail_one) {
    service.answer_with([](const Request& request) {
      if (request.chunk == 2) return Answer::error(413);
      Answer answer;
      answer.body = "{\"text\":\"" + default_text(request) + std::string(kLength, '.') + "\"}";
      return answer;
    });
  }
  auto pipeline = start(service, path, properties);
  push_seconds(pipeline, kMany);
  const GstMessageType end = pipeline.wait();
  limit_files_to(RLIM_INFINITY);
  ck_assert_int_eq(end, GST_MESSAGE_ERROR);
  assert_text(code_name(pipeline.error()), "NO_SPACE_LEFT");
  ck_assert(std::string(pipeline.error()->message).find(path) != std::string::npos);
  ck_assert_uint_eq(pipeline.count("openaitranscribe/result"), kMany - (fail_one ? 1 : 0));
  const std::string all = joined(story(pipeline));
  if (format != kJson) {
    ck_assert_msg(all.find("warning:NO_SPACE_LEFT") != std::string::npos, "%s", all.c_str());
    ck_assert_msg(all.find("warning:NO_SPACE_LEFT") == all.rfind("warning:NO_SPACE_LEFT"), "%s",
                  all.c_str());
  }
  if (fail_one) {
    check_mirrored(pipeline);
  } else {
    const GstStructure* details = pipeline.error_details();
    ck_assert(details != nullptr);
    assert_text(string_field(details, "reason"), "file-incomplete");
    ck_assert_uint_eq(uint_field(details, "http-status-code"), 0);
    ck_assert_uint_eq(uint_field(details, "attempts"), 0);
    ck_assert(!gst_structure_has_field(details, "chunk-index"));
    check_ending(pipeline, {"COMPLETED", "eos", "ERROR", "NO_SPACE_LEFT"});
    check_beginning(path, format);
  }
  // No part of a document is left over.
  ck_assert_uint_eq(folder.names().size(), 1);
}

void put_old_file(const Folder& folder, int format) {
  if (format != kJson) return;
  ck_assert(g_file_set_contents(folder.file("t.json").c_str(), kOldFile, -1, nullptr));
}

}  // namespace

GST_START_TEST(test_file_size_limit) {
  Folder folder;
  put_old_file(folder, __i__);
  limit_files_to(kRoom);
  run_on_a_full_disk(folder, __i__, "", false);
}
GST_END_TEST;

// Failed chunks are ignored, a file that lacks what was transcribed is not.
GST_START_TEST(test_file_size_limit_with_ignored_failures) {
  Folder folder;
  put_old_file(folder, __i__);
  limit_files_to(kRoom);
  run_on_a_full_disk(folder, __i__, "on-error=ignore", true);
}
GST_END_TEST;

// Needs the right to mount, in a name space of its own.
GST_START_TEST(test_full_disk) {
  Folder folder;
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=60k") != 0) {
    g_print("no mount: left out\n");
    return;
  }
  put_old_file(folder, __i__);
  run_on_a_full_disk(folder, __i__, "", false);
  for (const std::string& name : folder.names()) g_unlink(folder.file(name).c_str());
  umount2(folder.path().c_str(), MNT_DETACH);
}
GST_END_TEST;

GST_START_TEST(test_room_in_time) {
  Folder folder;
  const std::string path = folder.file(std::string("t.") + kFormats[__i__]);
  FakeService service;
  answer_at_length(service);
  limit_files_to(10000);
  auto pipeline = start(service, path);
  pipeline.push(noise(6 * kSecond), 0);
  pipeline.wait(GST_MESSAGE_WARNING);
  limit_files_to(RLIM_INFINITY);
  pipeline.push(noise(2 * kSecond), 6 * GST_SECOND);
  pipeline.end_of_stream();
  ck_assert_int_eq(pipeline.wait(), GST_MESSAGE_EOS);
  check_ending(pipeline, {"COMPLETED", "eos", "COMPLETE", "eos"});
  ck_assert_uint_eq(pipeline.count("info"), 1);
  const std::string file = read_file(path);
  const std::string text = has_cues(__i__) ? text_of_cues(file) : file;
  std::size_t at = 0;
  for (unsigned chunk = 1; chunk <= 8; chunk++) {
    const std::size_t found = text.find(number_of(chunk, __i__) + "...", at);
    ck_assert_msg(found != std::string::npos, "chunk %u is missing", chunk);
    at = found;
  }
}
GST_END_TEST;

// One ERROR tells both.
GST_START_TEST(test_file_size_limit_and_failed_chunks) {
  Folder folder;
  const std::string path = folder.file(std::string("t.") + kFormats[__i__]);
  FakeService service;
  service.answer_with([](const Request& request) {
    if (request.chunk == 2) return Answer::error(413);
    Answer answer;
    answer.body = "{\"text\":\"" + std::string(kLength, '.') + "\"}";
    return answer;
  });
  limit_files_to(10000);
  auto pipeline = start(service, path);
  push_seconds(pipeline, 8);
  const GstMessageType end = pipeline.wait();
  limit_files_to(RLIM_INFINITY);
  ck_assert_int_eq(end, GST_MESSAGE_ERROR);
  check_ending(pipeline, {"FAILED", "chunks-failed", "ERROR", "WRITE"});
  const std::string message = pipeline.error()->message;
  ck_assert_msg(message.find("1 of 8 chunks") != std::string::npos, "%s", message.c_str());
  ck_assert_msg(message.find(path) != std::string::npos, "%s", message.c_str());
}
GST_END_TEST;

static Suite* output_faults_suite(void) {
  Suite* suite = suite_create("output_faults");
  TCase* tests = tcase_create("general");
  tcase_set_timeout(tests, 60);
  suite_add_tcase(suite, tests);
  // Redis is told the same for every format.
  const int formats = is_mirrored() ? 1 : kFormatCount;
  tcase_add_loop_test(tests, test_failed_chunk_is_a_hole, 0, formats);
  tcase_add_loop_test(tests, test_lost_network_is_a_hole, 0, formats);
  tcase_add_loop_test(tests, test_dropped_chunk_is_a_hole, 0, formats);
  tcase_add_loop_test(tests, test_unsettled_chunk_is_a_hole, 0, formats);
  tcase_add_loop_test(tests, test_stopped_job_leaves_a_readable_file, 0, formats);
  tcase_add_test(tests, test_unwritable_location);
  tcase_add_loop_test(tests, test_file_size_limit, 0, formats);
  tcase_add_loop_test(tests, test_file_size_limit_with_ignored_failures, 0, formats);
  tcase_add_loop_test(tests, test_file_size_limit_and_failed_chunks, 0, formats);
  // To Redis that is test_file_size_limit() again.
  tcase_add_loop_test(tests, test_full_disk, 0, is_mirrored() ? 0 : formats);
  // The whole document is written at the end only.
  tcase_add_loop_test(tests, test_room_in_time, 0, std::min<int>(formats, kJson));
  return suite;
}
GST_CHECK_MAIN(output_faults);
