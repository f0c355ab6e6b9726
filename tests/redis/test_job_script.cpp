#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "check_text.h"
#include "job_client.h"
#include "shared_server.h"

#include "check_main.h"

namespace transcribe {
namespace {

using Words = std::vector<std::string>;

// The first word of an answer, or the first two.
std::string head(const std::string& answer, int words = 1) {
  std::size_t end = std::string::npos;
  for (std::size_t from = 0; words > 0; words--) {
    end = answer.find(' ', from);
    if (end == std::string::npos) return answer;
    from = end + 1;
  }
  return answer.substr(0, end);
}

#define ck_answer(answer, wanted) ck_same(head(answer), wanted)
#define ck_sound(job) ck_same((job).problem(), "")

struct Call {
  std::string op;
  Words arguments;
};

std::string run(JobClient& job, const Call& call) {
  if (call.op == "create" || call.op == "reset") {
    return job.create(call.arguments.empty() ? "auto" : call.arguments[0], "", call.op);
  }
  return job(call.op, call.arguments);
}

// One of every fenced operation that takes effect in a fresh PROCESSING job.
const std::vector<Call> kFenced = {
    {"sync", {"0"}},
    {"begin", {"0", "1"}},
    {"retry", {"0", "2", "500", "429", "rate"}},
    {"begin", {"0", "2"}},
    {"done", {"0", record("done", 0)}},
    {"skip", {"1", record("skipped", 1), "silence"}},
    {"begin", {"2", "1"}},
    {"fail", {"2", record("failed", 2)}},
    {"put", {"3", record("done", 3), "4", record("skipped", 4), "5", record("failed", 5)}},
    {"progress", {"9", "1"}},
    {"beat", {"30000"}},
    {"move", {"FAILED", "error", "code", "x", "message", "y", "http_status", "401"}},
};

void make_processing(JobClient& job) {
  ck_answer(job.create(), "OK");
  ck_answer(job("move", {"PROCESSING", "start"}), "OK");
}

void reach(JobClient& job, const std::string& state) {
  make_processing(job);
  if (state == "PROCESSING") return;
  if (state == "QUEUED") {
    job.redis("FLUSHALL");
    job.create();
    return;
  }
  ck_answer(job("move", {state, "eos"}), "OK");
}

START_TEST(tells_a_whole_job) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "whole");
  job.group = "readers";
  make_processing(job);
  ck_same(job.state(), "PROCESSING");
  ck_same(job.field("meta", "model"), "whisper-1");
  ck_same(job("begin", {"0", "1"}), "OK 2 ");
  ck_same(job.field("progress", "inflight"), "1");
  ck_answer(job("retry", {"0", "2", "500", "429", "rate"}), "OK");
  ck_same(job.field("progress", "inflight"), "1");
  ck_answer(job("begin", {"0", "2"}), "OK");
  ck_same(job("done", {"0", record("done", 0)}), "OK 4 ");
  ck_answer(job("skip", {"1", record("skipped", 1), "silence"}), "OK");
  ck_answer(job("begin", {"2", "1"}), "OK");
  ck_answer(job("fail", {"2", record("failed", 2)}), "OK");
  ck_same(job.field("cerr", "2"), record("failed", 2));
  // The chunk may still get well.
  ck_answer(job("done", {"2", record("done", 2)}), "OK");
  ck_answer(job("progress", {"3", "1"}), "OK");
  ck_same(job("sync", {"0"}), "OK 8  PROCESSING 2 0 1");
  ck_sound(job);
  ck_answer(job("move", {"COMPLETED", "eos"}), "OK");
  ck_sound(job);
  auto progress = job.all("progress");
  ck_same(progress["audio_ms"], "2000");
  ck_same(progress["total"], "3");
  const auto events = job.events();
  ck_assert_uint_eq(events.size(), 9);
  ck_same(events[2].at("status"), "retry");
  ck_same(events[2].at("delay_ms"), "500");
  ck_same(events[4].at("reason"), "silence");
  ck_assert(redis("XREADGROUP", "GROUP", "readers", "me", "STREAMS", job.key(""), ">")
                .items[0]
                .items[1]
                .items.size() == 9);
}
END_TEST

START_TEST(ends_a_job_without_a_chunk) {
  RedisClient redis(shared_server->port());
  for (const bool skipped : {false, true}) {
    JobClient job(redis, skipped ? "skipped" : "empty");
    make_processing(job);
    if (skipped) ck_answer(job("skip", {"0", record("skipped", 0), "silence"}), "OK");
    ck_answer(job("move", {"COMPLETED", "eos"}), "OK");
    ck_same(job.field("progress", "done"), "0");
    ck_same(job.field("progress", "skipped"), skipped ? "1" : "0");
    ck_sound(job);
  }
}
END_TEST

// Each ending of a job, resent from every point on.
START_TEST(every_suffix_can_be_sent_again) {
  RedisClient redis(shared_server->port());
  std::vector<Call> middle = {{"move", {"PROCESSING", "start"}}};
  middle.insert(middle.end(), kFenced.begin(), kFenced.end() - 1);
  const std::vector<Call> ends = {
      kFenced.back(),
      {"move", {"QUEUED", "stopped"}},
      {"move", {"COMPLETED", "eos"}},
  };
  for (const char* start : {"create", "reset"}) {
    for (const Call& end : ends) {
      std::vector<Call> calls = middle;
      if (end.arguments[0] == "COMPLETED") {
        calls.push_back({"done", {"2", record("done", 2)}});
        calls.push_back({"done", {"5", record("done", 5)}});
      }
      calls.push_back(end);
      calls.insert(calls.begin(), {start, {}});
      redis("FLUSHALL");
      JobClient job(redis, "again");
      for (std::size_t i = 0; i < calls.size(); i++) {
        ck_answer(run(job, calls[i]), "OK");
        const std::string once = job.dump();
        for (std::size_t from = 0; from <= i; from++) {
          for (std::size_t j = from; j <= i; j++) {
            const std::string answer = run(job, calls[j]);
            const std::set<std::string> fine = {"DUP", "OK", "ALREADY", "TERMINAL", "RELEASED"};
            ck_assert_msg(fine.count(head(answer)) == 1, "%s: %s", calls[j].op.c_str(),
                          answer.c_str());
          }
          const std::string what = calls[i].op + " after " + calls[from].op + ": ";
          ck_same(what + job.dump(), what + once);
        }
      }
      ck_same(job.problem(false), "");
    }
  }
}
END_TEST

START_TEST(cancel_reap_and_restore_can_be_sent_again) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "again");
  make_processing(job);
  ck_same(job("cancel", {"enough"}), "OK PROCESSING");
  std::string once = job.dump();
  ck_same(job("cancel", {"enough"}), "DUP PROCESSING");
  ck_same(job.dump(), once);

  redis("HSET", job.key("ctl"), "lease", "1");
  ck_answer(job("reap"), "FAILED");
  once = job.dump();
  ck_answer(job("reap"), "TERMINAL");
  ck_same(job.dump(), once);

  redis("FLUSHALL");
  job.epoch = "4";
  ck_answer(job.restore("PROCESSING", 17, 3), "OK");
  once = job.dump();
  ck_answer(job.restore("PROCESSING", 17, 3), "DUP");
  ck_same(job.dump(), once);
  ck_same(job.field("ctl", "seq"), "18");
}
END_TEST

START_TEST(moves_only_as_allowed) {
  RedisClient redis(shared_server->port());
  const Words states = {"QUEUED", "PROCESSING", "COMPLETED", "FAILED"};
  const std::vector<Words> wanted = {
      {"OK", "OK", "ILLEGAL", "OK"},
      {"OK", "DUP", "OK", "OK"},
      {"TERMINAL", "TERMINAL", "DUP", "TERMINAL"},
      {"TERMINAL", "TERMINAL", "TERMINAL", "DUP"},
  };
  for (std::size_t from = 0; from < states.size(); from++) {
    for (std::size_t to = 0; to < states.size(); to++) {
      redis("FLUSHALL");
      JobClient job(redis, "matrix");
      reach(job, states[from]);
      const std::string before = job.dump();
      ck_answer(job("move", {states[to], "test"}), wanted[from][to]);
      ck_same(job.state(), states[wanted[from][to] == "OK" ? to : from]);
      if (wanted[from][to] != "OK") ck_same(job.dump(), before);
      ck_sound(job);
    }
  }
}
END_TEST

START_TEST(keeps_the_source_of_the_last_start) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "source");
  ck_answer(job.create(), "OK");
  const std::string before = job.dump();
  const std::string longest = "file:///" + std::string(4088, 'x');
  ck_same(job("move", {"PROCESSING", "start", "source", longest + "x"}), "BADARG source");
  ck_same(job("move", {"PROCESSING", "start", "source", ""}), "BADARG source");
  ck_same(job("move", {"PROCESSING", "start", "source"}), "BADARG source");
  ck_same(job("move", {"PROCESSING", "start", "source", "a", "source", "b"}), "BADARG source");
  for (const char* name : {"code", "message", "model", "state", ""})
    ck_same(job("move", {"PROCESSING", "start", name, "a"}), "BADARG source");
  for (const char* state : {"QUEUED", "COMPLETED", "FAILED"})
    ck_same(job("move", {state, "r", "source", "a"}), "BADARG error");
  ck_same(job.dump(), before);

  ck_answer(job("move", {"PROCESSING", "start", "source", longest}), "OK");
  ck_same(job.field("meta", "source"), longest);
  ck_assert_uint_eq(job.all("error").size(), 0);
  const std::string once = job.dump();
  ck_answer(job("move", {"PROCESSING", "start", "source", longest}), "DUP");
  ck_same(job.dump(), once);

  // A later run has the newer one, or none.
  JobClient next(redis, "source", "token-b");
  ck_answer(next.create("auto", job.owner), "RESUMED");
  ck_same(next.field("meta", "source"), longest);
  ck_same(job("move", {"PROCESSING", "start", "source", "file:///late"}), "FENCED 2 " + next.owner);
  ck_answer(next("move", {"PROCESSING", "start", "source", std::string("\r\n\0\xff", 4)}), "OK");
  ck_assert(next.field("meta", "source") == std::string("\r\n\0\xff", 4));
  ck_answer(next("move", {"QUEUED", "stopped"}), "OK");
  JobClient last(redis, "source", "token-c");
  ck_answer(last.create(), "RESUMED");
  ck_answer(last("move", {"PROCESSING", "start"}), "OK");
  ck_assert(last.field("meta", "source") == std::string("\r\n\0\xff", 4));
  ck_sound(last);

  // Emptied, it is with the owner's other meta.
  redis("FLUSHALL");
  last.meta.insert(last.meta.end(), {"source", "file:///a"});
  ck_answer(last.restore("PROCESSING", 9, 0), "OK");
  ck_same(last.field("meta", "source"), "file:///a");
  ck_answer(last("move", {"PROCESSING", "start", "source", "file:///a"}), "DUP");
  // Begun anew, it is another job.
  JobClient anew(redis, "source", "token-d");
  ck_answer(anew.create("restart", last.owner, "reset"), "OK");
  ck_same(anew.field("meta", "source"), "-");
  ck_same(anew.problem(false), "");
}
END_TEST

START_TEST(completes_only_without_failed_chunks) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "failed");
  make_processing(job);
  job("fail", {"0", record("failed", 0)});
  ck_same(job("move", {"COMPLETED", "eos"}), "ILLEGAL PROCESSING 1");
}
END_TEST

START_TEST(fences_every_operation) {
  RedisClient redis(shared_server->port());
  for (const char* state : {"QUEUED", "PROCESSING", "COMPLETED", "FAILED"}) {
    redis("FLUSHALL");
    JobClient job(redis, "fenced");
    reach(job, state);
    job.epoch = "2";
    ck_answer(job.restore("PROCESSING", 5, 0), "OK");
    if (std::string(state) == "COMPLETED" || std::string(state) == "FAILED") {
      ck_answer(job("move", {state, "test"}), "OK");
    }
    const std::string before = job.dump();
    for (const Call& call : kFenced) {
      const auto as = [&](const char* epoch, const char* token) {
        JobClient other = job;
        other.epoch = epoch;
        other.token = token;
        return other(call.op, call.arguments);
      };
      ck_same(as("1", "token-a"), ("FENCED 2 " + job.owner));
      ck_same(as("2", "token-b"), ("FENCED 2 " + job.owner));
      ck_same(as("3", "token-a"), "STALE 2");
      ck_same(as("2", ""), "BADARG token");
      for (const char* epoch : {"", "0", "-1", "02", "2.0", "2e0", "x"}) {
        ck_same(as(epoch, "token-a"), "BADARG epoch");
      }
    }
    ck_same(job.dump(), before);
  }
}
END_TEST

START_TEST(nobody_owns_what_was_given_back) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "idle");
  make_processing(job);
  ck_answer(job("move", {"QUEUED", "stopped"}), "OK");
  const std::string before = job.dump();
  for (const Call& call : kFenced) {
    ck_same(job(call.op, call.arguments), "RELEASED QUEUED");
    JobClient other = job;
    other.token = "";
    ck_answer(other(call.op, call.arguments), "BADARG");
    other.token = "token-b";
    ck_answer(other(call.op, call.arguments), "FENCED");
  }
  ck_answer(job.create(), "RELEASED");
  ck_same(job.dump(), before);
}
END_TEST

START_TEST(answers_terminal_after_the_end) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "over");
  make_processing(job);
  ck_answer(job("done", {"7", record("done", 7)}), "OK");
  ck_answer(job("move", {"COMPLETED", "eos"}), "OK");
  const std::string before = job.dump();
  for (const Call& call : kFenced) {
    ck_same(head(job(call.op, call.arguments), 2), "TERMINAL COMPLETED");
  }
  ck_answer(job("cancel"), "TERMINAL");
  ck_answer(job("reap"), "TERMINAL");
  ck_answer(job.restore("PROCESSING", 0, 0), "TERMINAL");
  ck_same(job.dump(), before);
  ck_sound(job);
}
END_TEST

START_TEST(says_that_there_is_no_job) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "none");
  job.epoch = "1";
  for (const Call& call : kFenced) ck_answer(job(call.op, call.arguments), "NOJOB");
  ck_answer(job("cancel"), "NOJOB");
  ck_answer(job("reap"), "NOJOB");
  ck_same(redis("DBSIZE").text, "0");
}
END_TEST

// Every argument, one at a time, as something that it must not be.
START_TEST(refuses_bad_arguments_before_it_writes) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "bad");
  make_processing(job);
  job("begin", {"8", "1"});
  const std::string before = job.dump();
  const Words numbers = {"",
                         "x",
                         "-1",
                         "1.5",
                         "1e3",
                         "01",
                         "0x1",
                         " 1",
                         "1 ",
                         "nan",
                         "inf",
                         "9999999999999999",
                         std::string("1\0", 2)};
  const Words texts = {""};
  const Words states = {"", "queued", "DONE"};
  const Words records = {"",
                         "{}",
                         "x",
                         "{\"frames\":1}",
                         "{\"frames\":-1,\"status\":\"done\"}",
                         "{\"frames\":1,\"status\":\"new\"}"};
  struct Shape {
    std::string op;
    Words good;
    std::vector<Words> bad;
  };
  const Words create = {"o", "1000", "fp", "10", "1000", "1000", "3", ""};
  const auto with = [](Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const std::vector<Words> bad_create = {texts,   numbers, {},      numbers,
                                         numbers, numbers, numbers, {}};
  const auto bad_with = [&](const std::vector<Words>& more) {
    auto all = bad_create;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const Words names = {"", "fp", "state", "schema", "created_ms", "since_ms", "reason"};
  const std::vector<Shape> shapes = {
      {"create", with(create, {"auto", "", "a", "b"}), bad_with({{"", "x"}, {}, names, {}})},
      {"reset", with(create, {"auto", "", "a", "b"}), bad_with({{}, {}, names, {}})},
      {"restore", with(create, {"1", "QUEUED", "0", "0", "a", "b"}),
       bad_with({numbers, with(states, {"COMPLETED", "FAILED"}), numbers, numbers, names, {}})},
      {"sync", {"0"}, {numbers}},
      {"move", {"FAILED", "r", "code", "b"}, {states, texts, {"", "at_ms", "x"}, {}}},
      {"move", {"COMPLETED", "r"}, {states, texts}},
      {"move",
       {"PROCESSING", "r", "source", "file:///a"},
       {states,
        texts,
        {"", "code", "model", "state", "Source", "source\n"},
        {"", std::string(4097, 'x')}}},
      {"begin", {"0", "1"}, {numbers, with(numbers, {"0"})}},
      {"retry",
       {"0", "2", "5", "429", "r"},
       {numbers, with(numbers, {"0"}), numbers, numbers, {std::string(1001, 'x')}}},
      {"done",
       {"0", record("done", 0)},
       {numbers, with(records, {record("failed", 0), record("skipped", 0)})}},
      {"fail", {"0", record("failed", 0)}, {numbers, with(records, {record("done", 0)})}},
      {"skip",
       {"0", record("skipped", 0), "silence"},
       {numbers, with(records, {record("done", 0)}), {"", std::string(101, 'x')}}},
      {"put",
       {"0", record("done", 0), "1", record("failed", 1)},
       {numbers, records, numbers, records}},
      {"progress", {"5", "1"}, {numbers, numbers}},
      {"beat", {"1000"}, {with(numbers, {"0"})}},
      {"cancel", {"note"}, {{std::string(1001, 'x')}}},
  };
  for (const Shape& shape : shapes) {
    for (std::size_t i = 0; i < shape.good.size(); i++) {
      for (const std::string& bad : shape.bad[i]) {
        Words words = shape.good;
        words[i] = bad;
        const std::string answer = job(shape.op, words);
        ck_assert_msg(head(answer) == "BADARG", "%s, argument %zu as '%s': %s", shape.op.c_str(), i,
                      bad.c_str(), answer.c_str());
      }
      if (shape.op == "cancel") continue;
      const Words fewer(shape.good.begin(), shape.good.begin() + static_cast<std::ptrdiff_t>(i));
      const std::string answer = job(shape.op, fewer);
      const bool optional = (shape.op == "move" || shape.op == "put" || shape.op == "create" ||
                             shape.op == "reset" || shape.op == "restore") &&
                            head(answer) != "BADARG";
      ck_assert_msg(head(answer) == "BADARG" || optional, "%s with %zu: %s", shape.op.c_str(), i,
                    answer.c_str());
      if (optional) {
        redis("FLUSHALL");
        make_processing(job);
        job("begin", {"8", "1"});
      }
    }
  }
  JobClient fresh(redis, "fresh");
  fresh.token = "";
  ck_same(fresh.create(), "BADARG token");
  Words many = {};
  for (int i = 0; i < 201; i++) many.insert(many.end(), {"5", record("done", 5)});
  ck_answer(job("put", many), "BADARG");
  many.resize(400);
  ck_assert(job("wipe").starts_with("ERR"));
  ck_assert(job.redis("EVALSHA", job.digest, "0", "probe").is_error());

  redis("FLUSHALL");
  make_processing(job);
  job("begin", {"8", "1"});
  // Same epoch, times and all: only what the last start wrote is there.
  ck_assert_uint_eq(job.dump().size(), before.size());
  ck_answer(job("put", many), "OK");
  ck_same(job.problem(false), "");
}
END_TEST

START_TEST(refuses_keys_of_different_slots) {
  RedisClient redis(shared_server->port());
  for (const char* id : {"a}b", "{a", "{a}", "}"}) {
    JobClient job(redis, id);
    ck_assert(job.create().starts_with("ERR"));
    ck_assert(job("probe").starts_with("ERR"));
  }
  ck_same(redis("DBSIZE").text, "0");
}
END_TEST

START_TEST(finds_foreign_types_before_it_writes) {
  RedisClient redis(shared_server->port());
  for (std::size_t i = 0; i < 9; i++) {
    redis("FLUSHALL");
    JobClient job(redis, "types");
    redis("SADD", job.keys[i], "x");
    ck_same(job("probe"), ("WRONGTYPE " + job.keys[i]));
    const std::string answer = job.create();
    ck_assert_msg(answer.find("WRONGTYPE") != std::string::npos, "%s", answer.c_str());
    ck_same(redis("DBSIZE").text, "1");
  }
}
END_TEST

START_TEST(writes_nothing_to_a_full_server) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "full");
  make_processing(job);
  job("begin", {"9", "1"});
  const std::string before = job.dump();
  const auto refused = [&](const std::string& answer) {
    ck_assert_msg(answer.find("OOM") != std::string::npos, "%s", answer.c_str());
  };
  redis("CONFIG", "SET", "maxmemory", "1");
  for (const Call& call : kFenced) {
    if (call.op != "sync") refused(job(call.op, call.arguments));
  }
  refused(job("sync", {"99"}));
  refused(job("cancel"));
  JobClient other(redis, "full", "token-b");
  refused(other.create("auto", job.owner));
  refused(other.create("restart", job.owner, "reset"));
  other.epoch = "2";
  refused(other.restore("PROCESSING", 0, 0));
  other.group = "g";
  refused(other.restore("PROCESSING", 0, 0));
  JobClient fresh(redis, "fresh");
  refused(fresh.create());
  fresh.group = "g";
  refused(fresh.create());
  redis("CONFIG", "SET", "maxmemory", "0");
  ck_same(job.dump(), before);
  ck_assert(redis("EXISTS", fresh.key(""), fresh.key("ctl")).number == 0);

  redis("HSET", job.key("ctl"), "lease", "1");
  redis("CONFIG", "SET", "maxmemory", "1");
  refused(job("reap"));
  redis("CONFIG", "SET", "maxmemory", "0");
  ck_same(job.dump(), before);
}
END_TEST

START_TEST(stores_hostile_content_exactly) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "a.b_c:d-" + std::string(100, 'x'));
  make_processing(job);
  const Words texts = {
      std::string("nul \0 nul", 9),
      "\r\n$5\r\n*1\r\n",
      "\xff\xfe\xc3(\xed\xa0\x80",
      "%s %b %n \\\"status\\\":\\\"skipped\\\" \\\"frames\\\":99",
      "]]--[[ redis.call('FLUSHALL') ]]",
      std::string(1024 * 1024, 'a'),
      "",
  };
  for (std::size_t i = 0; i < texts.size(); i++) {
    const std::string index = std::to_string(i);
    ck_answer(job("done", {index, record("done", i, texts[i])}), "OK");
    ck_assert(job.field("chunks", index) == record("done", i, texts[i]));
    ck_answer(job("fail", {"1" + index, record("failed", i, texts[i])}), "OK");
    ck_assert(job.field("cerr", "1" + index) == record("failed", i, texts[i]));
  }
  ck_same(job.field("progress", "audio_ms"), "7000");
  ck_sound(job);
  ck_answer(job("move", {"FAILED", texts[1], "message", texts[0] + texts[2]}), "OK");
  ck_assert(job.field("error", "message") == texts[0] + texts[2]);
  ck_assert(job.events().back().at("reason") == texts[1]);
}
END_TEST

START_TEST(keeps_its_stream_short) {
  RedisClient redis(shared_server->port());
  JobClient job(redis, "short");
  job.max_length = "100";
  make_processing(job);
  for (int i = 0; i < 1000; i++) {
    ck_answer(job("done", {std::to_string(i), record("done", static_cast<std::uint64_t>(i))}),
              "OK");
  }
  ck_assert_int_le(redis("XLEN", job.key("")).number, 300);
  ck_same(job.problem(false), "");
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_script");
  TCase* tcase = tcase_create("job_script");
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_test(tcase, tells_a_whole_job);
  tcase_add_test(tcase, ends_a_job_without_a_chunk);
  tcase_add_test(tcase, every_suffix_can_be_sent_again);
  tcase_add_test(tcase, cancel_reap_and_restore_can_be_sent_again);
  tcase_add_test(tcase, moves_only_as_allowed);
  tcase_add_test(tcase, keeps_the_source_of_the_last_start);
  tcase_add_test(tcase, completes_only_without_failed_chunks);
  tcase_add_test(tcase, fences_every_operation);
  tcase_add_test(tcase, nobody_owns_what_was_given_back);
  tcase_add_test(tcase, answers_terminal_after_the_end);
  tcase_add_test(tcase, says_that_there_is_no_job);
  tcase_add_test(tcase, refuses_bad_arguments_before_it_writes);
  tcase_add_test(tcase, refuses_keys_of_different_slots);
  tcase_add_test(tcase, finds_foreign_types_before_it_writes);
  tcase_add_test(tcase, writes_nothing_to_a_full_server);
  tcase_add_test(tcase, stores_hostile_content_exactly);
  tcase_add_test(tcase, keeps_its_stream_short);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
