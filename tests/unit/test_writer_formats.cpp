// What each format of a transcript file says.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "job/chunk_record.h"
#include "overlaps.h"
#include "transcript/formats.h"
#include "writer_test.h"

using namespace transcribe;

namespace {

Segment segment(int start, int end, const std::string& text, const std::string& speaker = "") {
  Segment one;
  one.start = std::chrono::seconds(start);
  one.end = std::chrono::milliseconds(end * 1000 + 250);
  one.text = text;
  one.speaker = speaker;
  return one;
}

ChunkDone done_with(std::uint64_t index, const std::string& text, std::vector<Segment> segments) {
  auto transcription = std::make_shared<Transcription>();
  transcription->text = text;
  transcription->segments = std::move(segments);
  ChunkDone done = make_done(index, "");
  done.transcription = transcription;
  return done;
}

std::vector<Outcome> a_job() {
  return {make_done(0, "Hello & <i>welcome</i>."),
          done_with(1, "Who? Me.", {segment(0, 2, " Who?", "A"), segment(3, 4, "Me.", "B<b>")}),
          make_failed(2),
          make_skipped(3, SkipReason::kSilence),
          make_skipped(4, SkipReason::kQueueFull),
          make_done(5, "The\r\n\r\nend --> \xe2\x80\xa8")};
}

// `shift`: how much later than in the media its timestamps are.
std::string file_of_a_job(const std::string& name, std::optional<Nanoseconds> shift = {}) {
  const Directory directory;
  const std::string location = directory.file(name);
  write_file(location, "old text that is longer than nothing");
  MemoryJobStore store;
  WriterPtr writer = open_writer(location);
  const auto moved = [&](const ChunkInfo& chunk) {
    auto copy = std::make_shared<ChunkInfo>(chunk);
    if (shift) copy->time.stream_time = copy->time.timestamp;
    copy->time.timestamp += shift.value_or(Nanoseconds(0));
    return copy;
  };
  std::vector<Outcome> job = a_job();
  for (Outcome& outcome : job)
    std::visit([&](auto& event) { event.chunk = moved(*event.chunk); }, outcome);
  write_all(*writer, store, job);
  ck_assert(writer->write_unsettled(*moved(*make_chunk(6))).ok());
  ck_assert(writer->finish(JobState::kFailed, store).ok());
  ck_assert_uint_eq(directory.names().size(), 1);
  return read_file(location);
}

}  // namespace

START_TEST(format_by_ending) {
  const auto resolve = [](const char* name) {
    return resolve_format(TranscriptFormat::kAuto, name);
  };
  ck_assert(resolve("a.srt") == TranscriptFormat::kSrt);
  ck_assert(resolve("/x.y/a.VTT") == TranscriptFormat::kVtt);
  ck_assert(resolve("a.jsonl") == TranscriptFormat::kJsonl);
  ck_assert(resolve("a.json") == TranscriptFormat::kJson);
  ck_assert(resolve("a.txt") == TranscriptFormat::kTxt);
  ck_assert(resolve("srt") == TranscriptFormat::kTxt);
  ck_assert(resolve("/dev/stdout") == TranscriptFormat::kTxt);
  ck_assert(resolve_format(TranscriptFormat::kVtt, "a.srt") == TranscriptFormat::kVtt);
}
END_TEST

START_TEST(txt) {
  const std::string text = file_of_a_job("a.txt");
  ck_assert_str_eq(text.c_str(),
                   "Hello & <i>welcome</i>.\n"
                   "A: Who?\nB<b>: Me.\n"
                   "[not transcribed: HTTP 500, 0:00:20 – 0:00:30]\n"
                   "[not transcribed: queue-full, 0:00:40 – 0:00:50]\n"
                   "The end -->\n"
                   "[not transcribed: job ended, 0:01:00 – 0:01:10]\n");
}
END_TEST

START_TEST(srt) {
  const std::string text = file_of_a_job("a.srt");
  ck_assert_str_eq(
      text.c_str(),
      "1\n00:00:00,000 --> 00:00:03,913\nHello &\n\n"
      "2\n00:00:03,913 --> 00:00:10,000\n<i>welcome</i>.\n\n"
      "3\n00:00:10,000 --> 00:00:12,250\nA: Who?\n\n"
      "4\n00:00:13,000 --> 00:00:14,250\nB<b>: Me.\n\n"
      "5\n00:00:20,000 --> 00:00:27,000\n[not transcribed: HTTP 500,\n0:00:20 – 0:00:30]\n\n"
      "6\n00:00:40,000 --> 00:00:47,000\n[not transcribed: queue-full,\n0:00:40 – 0:00:50]\n\n"
      "7\n00:00:50,000 --> 00:00:55,000\nThe\n\n"
      "8\n00:00:55,000 --> 00:01:00,000\nend ->\n\n"
      "9\n00:01:00,000 --> 00:01:07,000\n[not transcribed: job ended,\n0:01:00 – 0:01:10]\n\n");
}
END_TEST

START_TEST(vtt) {
  const std::string text = file_of_a_job("a.vtt");
  ck_assert_str_eq(
      text.c_str(),
      "WEBVTT\n\n"
      "00:00:00.000 --> 00:00:03.913\nHello &amp;\n\n"
      "00:00:03.913 --> 00:00:10.000\n&lt;i&gt;welcome&lt;/i&gt;.\n\n"
      "00:00:10.000 --> 00:00:12.250\n<v A>Who?\n\n"
      "00:00:13.000 --> 00:00:14.250\n<v B&lt;b&gt;>Me.\n\n"
      "00:00:20.000 --> 00:00:27.000\n[not transcribed: HTTP 500,\n0:00:20 – 0:00:30]\n\n"
      "00:00:40.000 --> 00:00:47.000\n[not transcribed: queue-full,\n0:00:40 – 0:00:50]\n\n"
      "00:00:50.000 --> 00:00:55.000\nThe\n\n"
      "00:00:55.000 --> 00:01:00.000\nend --&gt;\n\n"
      "00:01:00.000 --> 00:01:07.000\n[not transcribed: job ended,\n0:01:00 – 0:01:10]\n\n");
}
END_TEST

// Whatever the timestamps are.
START_TEST(subtitles_in_stream_time) {
  for (const char* name : {"a.txt", "a.srt", "a.vtt"}) {
    const std::string plain = file_of_a_job(name);
    for (const int seconds : {0, 100, 95000})
      assert_text(file_of_a_job(name, std::chrono::seconds(seconds)), plain.c_str());
  }
}
END_TEST

START_TEST(json_with_stream_time) {
  for (const char* name : {"a.jsonl", "a.json"}) {
    const std::string plain = file_of_a_job(name);
    ck_assert(plain.find("stream_time") == std::string::npos);
    assert_text(file_of_a_job(name, Nanoseconds(0)), plain.c_str());

    const std::string file = file_of_a_job(name, std::chrono::seconds(100));
    for (const char* part :
         {"{\"index\":1,\"timestamp\":110000000000,\"stream_time\":10000000000,"
          "\"duration\":10000000000,\"status\":\"done\",",
          "{\"timestamp\":113000000000,\"stream_time\":13000000000,\"duration\":1250000000,"
          "\"text\":\"Me.\"",
          "{\"index\":2,\"timestamp\":120000000000,\"stream_time\":20000000000,",
          "{\"index\":4,\"timestamp\":140000000000,\"stream_time\":40000000000,",
          "{\"index\":6,\"timestamp\":160000000000,\"stream_time\":60000000000,"})
      ck_assert_msg(file.find(part) != std::string::npos, "%s lacks %s", file.c_str(), part);
  }
}
END_TEST

// A word, the seam and the rest of a text, at double speed.
START_TEST(json_parts_with_stream_time) {
  const auto chunks = cut_at({0, 10000, 20000, 30000}, 2000);
  for (std::size_t i = 0; i < 3; ++i) {
    chunks[i]->time.stream_time = 2 * chunks[i]->time.timestamp;
    chunks[i]->time.stream_rate = 2;
  }
  const Joined joined =
      join({heard(chunks[0], "one", {{ms(1000), ms(2000), "one", {}}}),
            heard(chunks[1], "two three",
                  {{ms(12000), ms(13000), "two", {}}, {ms(19500), ms(20500), "three", {}}})});
  ck_assert_uint_eq(joined.released.size(), 3);
  const std::string second = format_json(joined.released[1]);
  for (const char* part :
       {"\"timestamp\":10000000000,\"stream_time\":20000000000,\"duration\":1000",
        "\"timestamp\":12000000000,\"stream_time\":24000000000,\"duration\":1000",
        "\"timestamp\":9000000000,\"stream_time\":18000000000,\"duration\":2000"})
    ck_assert_msg(second.find(part) != std::string::npos, "%s lacks %s", second.c_str(), part);
  assert_text(format_json(joined.released[2]),
              "{\"index\":1,\"timestamp\":19500000000,\"stream_time\":39000000000,"
              "\"duration\":1000000000,\"status\":\"rest\",\"text\":\" three\",\"words\":["
              "{\"timestamp\":19500000000,\"stream_time\":39000000000,\"duration\":1000000000,"
              "\"text\":\"three\"}]}");
}
END_TEST

// What a resumed job reads back.
START_TEST(the_same_from_records) {
  auto chunk = make_chunk(1);
  chunk->time = {std::chrono::seconds(110), std::chrono::seconds(10), std::nullopt, 1.25};
  ChunkDone done = done_with(1, "Who? Me.", {segment(0, 2, " Who?", "A"), segment(3, 4, "Me.")});
  done.chunk = chunk;
  const auto stored = from_record(to_record(done, ""));
  ck_assert(stored.ok());
  const Released first = release_alone(done);
  const Released again = release_alone(stored->outcome);
  assert_text(format_json(again), format_json(first).c_str());
  assert_text(format_vtt(make_cues(again)), format_vtt(make_cues(first)).c_str());
  assert_text(format_vtt(make_cues(again)),
              "00:00:10.000 --> 00:00:12.812\n<v A>Who?\n\n"
              "00:00:13.750 --> 00:00:15.312\nMe.\n\n");
}
END_TEST

START_TEST(times_of_long_streams) {
  const Directory directory;
  MemoryJobStore store;
  WriterPtr writer = open_writer(directory.file("a.srt"));
  ck_assert(writer->write(release_alone(make_done(36000, "x"))).ok());
  assert_file(directory.file("a.srt"), "1\n100:00:00,000 --> 100:00:07,000\nx\n\n");
}
END_TEST

START_TEST(jsonl) {
  const auto lines = lines_of(file_of_a_job("a.jsonl"));
  const char* status[] = {"done", "done", "failed", "skipped", "skipped", "done", "unsettled"};
  ck_assert_uint_eq(lines.size(), 7);
  std::string text;
  for (std::size_t i = 0; i < 7; ++i) {
    const JsonNodePtr root = parsed(lines[i]);
    JsonObject* object = as_object(root.get());
    ck_assert_int_eq(json_object_get_int_member(object, "index"), static_cast<gint64>(i));
    ck_assert_int_eq(json_object_get_int_member(object, "timestamp"),
                     static_cast<gint64>(i) * 10000000000);
    ck_assert_int_eq(json_object_get_int_member(object, "duration"), 10000000000);
    ck_assert_str_eq(json_object_get_string_member(object, "status"), status[i]);
    text += json_object_get_string_member_with_default(object, "text", "");
  }
  ck_assert_str_eq(text.c_str(), "Hello & <i>welcome</i>. Who? Me. The\r\n\r\nend -->");
  ck_assert_str_eq(lines[2].c_str(),
                   "{\"index\":2,\"timestamp\":20000000000,\"duration\":10000000000,"
                   "\"status\":\"failed\",\"error\":{\"reason\":\"http-status\","
                   "\"http_status\":500,\"message\":\"The service failed.\"}}");
  ck_assert(lines[1].find("\"segments\":[{\"timestamp\":10000000000,\"duration\":2250000000,"
                          "\"text\":\"Who?\",\"speaker\":\"A\"},") != std::string::npos);
  ck_assert(lines[4].find("\"reason\":\"queue-full\"") != std::string::npos);
}
END_TEST

START_TEST(json) {
  const JsonNodePtr root = parsed(file_of_a_job("a.json"));
  JsonObject* object = as_object(root.get());
  ck_assert_str_eq(json_object_get_string_member(object, "job_id"), "job-1");
  ck_assert_str_eq(json_object_get_string_member(object, "state"), "FAILED");
  ck_assert_str_eq(json_object_get_string_member(object, "text"),
                   "Hello & <i>welcome</i>. Who? Me. The\r\n\r\nend -->");
  JsonArray* chunks = json_object_get_array_member(object, "chunks");
  ck_assert_uint_eq(json_array_get_length(chunks), 7);
  for (guint i = 0; i < 7; ++i) {
    ck_assert_int_eq(json_object_get_int_member(json_array_get_object_element(chunks, i), "index"),
                     i);
  }
}
END_TEST

START_TEST(json_keeps_order_around_unsettled) {
  const Directory directory;
  MemoryJobStore store;
  WriterPtr writer = open_writer(directory.file("a.json"));
  for (const std::uint64_t index : {1, 2, 5}) store.record(make_done(index, "x"));
  for (const std::uint64_t index : {7, 3, 0, 4}) {
    ck_assert(writer->write_unsettled(*make_chunk(index)).ok());
  }
  ck_assert(writer->finish(JobState::kCompleted, store).ok());
  const JsonNodePtr root = parsed(read_file(directory.file("a.json")));
  ck_assert_str_eq(json_object_get_string_member(as_object(root.get()), "text"), "x x x");
  JsonArray* chunks = json_object_get_array_member(as_object(root.get()), "chunks");
  std::string order;
  for (guint i = 0; i < json_array_get_length(chunks); ++i) {
    JsonObject* chunk = json_array_get_object_element(chunks, i);
    order += std::to_string(json_object_get_int_member(chunk, "index"));
    order += json_object_get_string_member(chunk, "status")[0];
  }
  ck_assert_str_eq(order.c_str(), "0u1d2d3u4u5d7u");
}
END_TEST

START_TEST(an_empty_job_leaves_a_valid_file) {
  const Directory directory;
  MemoryJobStore store;
  const std::pair<const char*, const char*> files[] = {
      {"a.txt", ""},
      {"a.srt", ""},
      {"a.vtt", "WEBVTT\n\n"},
      {"a.jsonl", ""},
      {"a.json",
       "{\"job_id\":\"job-1\",\n\"state\":\"COMPLETED\",\n\"text\":\"\",\n\"chunks\":[]}\n"}};
  for (const auto& [name, expected] : files) {
    WriterPtr writer = open_writer(directory.file(name));
    ck_assert(writer->finish(JobState::kCompleted, store).ok());
    assert_file(directory.file(name), expected);
  }
}
END_TEST

// No text of the service can end a cue, a line or a record, or reach a terminal as a command.
START_TEST(hostile_texts) {
  const std::string text =
      "\n\n1\n00:00:00,000 --> 00:00:01,000\r\n\r\n\xe2\x80\xa9\x1b[31m\"\\ </v><c>&amp;\t\xc2\x85"
      "end\v\f\n \n";
  const Directory directory;
  MemoryJobStore store;
  for (const char* name : {"a.txt", "a.srt", "a.vtt", "a.jsonl", "a.json"}) {
    WriterPtr writer = open_writer(directory.file(name));
    write_all(*writer, store, {make_done(0, text)});
    ck_assert(writer->finish(JobState::kCompleted, store).ok());
    const std::string file = read_file(directory.file(name));
    ck_assert(g_utf8_validate(file.c_str(), -1, nullptr));
    ck_assert(file.find('\x1b') == std::string::npos);
  }
  assert_file(directory.file("a.txt"),
              "1 00:00:00,000 --> 00:00:01,000 [31m\"\\ </v><c>&amp; end\n");
  assert_file(directory.file("a.srt"),
              "1\n00:00:00,000 --> 00:00:06,153\n1 00:00:00,000 -> 00:00:01,000\n\n"
              "2\n00:00:06,153 --> 00:00:10,000\n[31m\"\\ </v><c>&amp; end\n\n");
  assert_file(directory.file("a.vtt"),
              "WEBVTT\n\n00:00:00.000 --> 00:00:06.153\n1 00:00:00,000 --&gt; 00:00:01,000\n\n"
              "00:00:06.153 --> 00:00:10.000\n[31m\"\\ &lt;/v&gt;&lt;c&gt;&amp;amp; end\n\n");
  ck_assert_uint_eq(lines_of(read_file(directory.file("a.jsonl"))).size(), 1);
}
END_TEST

static Suite* make_suite() {
  Suite* suite = suite_create("writer_formats");
  TCase* tests = tcase_create("writer_formats");
  tcase_add_test(tests, format_by_ending);
  tcase_add_test(tests, txt);
  tcase_add_test(tests, srt);
  tcase_add_test(tests, vtt);
  tcase_add_test(tests, subtitles_in_stream_time);
  tcase_add_test(tests, json_with_stream_time);
  tcase_add_test(tests, json_parts_with_stream_time);
  tcase_add_test(tests, the_same_from_records);
  tcase_add_test(tests, times_of_long_streams);
  tcase_add_test(tests, jsonl);
  tcase_add_test(tests, json);
  tcase_add_test(tests, json_keeps_order_around_unsettled);
  tcase_add_test(tests, an_empty_job_leaves_a_valid_file);
  tcase_add_test(tests, hostile_texts);
  suite_add_tcase(suite, tests);
  return suite;
}

TRANSCRIBE_CHECK_MAIN(make_suite)
