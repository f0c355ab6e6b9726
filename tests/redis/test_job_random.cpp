// Random operations of several owners against the script and against a model of it.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
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
constexpr int kChunks = 8;
constexpr int kMaxAttempts = 3;

bool terminal(const std::string& state) { return state == "COMPLETED" || state == "FAILED"; }

struct Settled {
  std::string status;
  unsigned by = 0;  // epoch in the record; 0: none
};

struct Mark {
  unsigned attempt = 0;
  bool waiting = false;
};

// What the job is, by the rules in words.
struct Model {
  bool exists = false;
  bool quiet = false;  // something happened that the stream does not tell
  std::string state;
  unsigned epoch = 0;
  std::string token, released, cancel;
  bool leased = false;
  std::map<int, Settled> chunks;
  std::map<int, Mark> inflight;
  std::size_t total = 0, base = 0, barren = 0, told = 0;

  std::size_t count(const std::string& status) const {
    std::size_t found = 0;
    for (const auto& chunk : chunks) found += chunk.second.status == status ? 1 : 0;
    return found;
  }
  std::size_t stored() const { return chunks.size() - count("failed"); }
  void drop_failed() {
    std::erase_if(chunks, [](const auto& chunk) { return chunk.second.status == "failed"; });
  }
  void settle_total() {
    std::size_t known = chunks.size() + inflight.size();
    total = std::max(total, known);
  }
  void own(const std::string& by) {
    token = by;
    released.clear();
    cancel.clear();
    leased = true;
    base = stored();
    told = 0;
    inflight.clear();
  }
  void judge(bool died) {
    if (stored() > base) {
      barren = 0;
    } else if (died) {
      barren++;
    }
  }
  void end(const std::string& to) {
    state = to;
    inflight.clear();
  }

  std::string create(const std::string& by, const std::string& mode) {
    if (!exists) {
      const unsigned last = epoch;
      *this = Model{};
      exists = true;
      epoch = last + 1;
      state = "QUEUED";
      own(by);
      return "OK";
    }
    if (token == by) return "DUP";
    if (token.empty() && released == by) return "RELEASED";
    if (!token.empty() && leased && !terminal(state)) return "LOCKED";
    if (mode == "restart") {
      const unsigned last = epoch;
      const bool was_quiet = quiet;
      *this = Model{};
      quiet = was_quiet;
      exists = true;
      epoch = last + 1;
      state = "QUEUED";
      own(by);
      return "OK";
    }
    if (state == "COMPLETED") return "COMPLETED";
    if (state == "FAILED" && count("failed") > 0 && mode == "auto") return "FAILED";
    if (terminal(state)) {
      barren = 0;
    } else {
      judge(!token.empty());
    }
    epoch++;
    state = "QUEUED";
    own(by);
    if (mode == "retry-failed") drop_failed();
    settle_total();
    return "RESUMED";
  }

  // Empty: the operation is let through.
  std::string fence(unsigned as, const std::string& by) const {
    if (!exists) return "NOJOB";
    if (epoch < as) return "STALE";
    if (epoch == as && token.empty() && released == by) return "RELEASED";
    if (epoch > as || token != by) return "FENCED";
    return terminal(state) ? "TERMINAL" : "";
  }

  std::string move(const std::string& to) {
    if (state == to && to == "PROCESSING") return "DUP";
    const bool legal = state == "QUEUED" ? to != "COMPLETED" : true;
    if (!legal || (to == "COMPLETED" && count("failed") > 0)) return "ILLEGAL";
    if (to == "PROCESSING") {
      state = to;
      return "OK";
    }
    if (to == "QUEUED") {
      judge(false);
      released = token;
      token.clear();
      leased = false;
    }
    end(to);
    return "OK";
  }

  std::string mark(int index, unsigned attempt, bool waiting) {
    const auto known = chunks.find(index);
    if (known != chunks.end() && !of_earlier_run(known->second)) return "ALREADY";
    const auto found = inflight.find(index);
    if (found != inflight.end()) {
      const Mark& last = found->second;
      if (last.attempt > attempt) return "DUP";
      if (last.attempt == attempt && (waiting || !last.waiting)) return "DUP";
    }
    if (known != chunks.end()) {
      if (known->second.status == "skipped" && base > 0) base--;
      chunks.erase(known);
    }
    inflight[index] = {attempt, waiting};
    settle_total();
    return "OK";
  }

  bool of_earlier_run(const Settled& chunk) const {
    return chunk.status != "done" && chunk.by != 0 && chunk.by < epoch;
  }

  std::string settle(int index, const std::string& status, unsigned by) {
    const auto found = chunks.find(index);
    if (found != chunks.end() && !of_earlier_run(found->second)) {
      if (found->second.status == status) return "DUP";
      if (found->second.status == "done") return "ALREADY";
    }
    chunks[index] = {status, by};
    inflight.erase(index);
    settle_total();
    return "OK";
  }

  std::string reap() {
    if (!exists) return "NOJOB";
    if (terminal(state)) return "TERMINAL";
    if (token.empty()) return "IDLE";
    if (leased) return "ALIVE";
    judge(true);
    epoch++;
    token.clear();
    released.clear();
    base = stored();
    inflight.clear();
    if (!cancel.empty() || barren >= kMaxAttempts) {
      end("FAILED");
      return "FAILED";
    }
    state = "QUEUED";
    return "REQUEUED";
  }

  std::string cancel_it() {
    if (!exists) return "NOJOB";
    if (terminal(state)) return "TERMINAL";
    if (!cancel.empty()) return "DUP";
    cancel = "cancelled";
    if (token.empty()) end("FAILED");
    return "OK";
  }

  std::string restore(unsigned as, const std::string& by, const std::string& to) {
    if (exists) {
      const bool same = epoch == as && token == by;
      if (!same && epoch == as && token.empty() && released == by) return "RELEASED";
      if (!same && epoch >= as) return "FENCED";
      if (same) return terminal(state) ? "TERMINAL" : "DUP";
    }
    quiet = true;
    if (!exists) {
      *this = Model{};
      quiet = exists = true;
    }
    epoch = as;
    state = to;
    barren = 0;
    own(by);
    settle_total();
    return "OK";
  }
};

class Walk {
 public:
  Walk(RedisClient& redis, unsigned seed) : redis_(redis), random_(seed) {
    for (const char* name : {"a", "b", "c"}) clients_.emplace_back(redis, "walk", name);
  }

  void step() {
    JobClient& job = clients_[pick(3)];
    const unsigned as = static_cast<unsigned>(std::stoul(job.epoch));
    const int index = static_cast<int>(pick(kChunks));
    const std::string text = std::to_string(index);
    const std::string& token = job.token;
    // An owner without an epoch yet writes none into its records.
    const unsigned by = pick(4) == 0 ? 0 : as;
    std::string op;
    Words words;
    std::string wanted;

    const unsigned kind = pick(100);
    if (kind < 3) {  // the server loses everything, or the owner its lease
      if (pick(4) == 0) {
        redis_("FLUSHALL");
        model_ = Model{};
      } else if (model_.exists) {
        model_.leased = pick(3) == 0;
        redis_("HSET", job.key("ctl"), "lease", model_.leased ? "4102444800000" : "1");
      }
      return;
    }
    if (kind < 14) {
      static const char* const kModes[] = {"auto", "auto", "auto", "retry-failed", "restart"};
      const std::string mode = kModes[pick(5)];
      if (pick(2) == 0) job.token = "token-" + std::to_string(++tokens_);
      op = mode == "restart" && pick(2) == 0 ? "reset" : "create";
      wanted = model_.create(token, mode);
      check(job, op, job.create(mode, "", op), wanted);
      if (wanted == "OK" || wanted == "RESUMED" || wanted == "DUP") {
        ck_same(job.epoch, std::to_string(model_.epoch));
      }
      return;
    }
    if (kind < 17) return check(job, "reap", job("reap"), model_.reap());
    if (kind < 18) return check(job, "cancel", job("cancel"), model_.cancel_it());
    if (kind < 21) {
      if (as == 0) return;
      const std::string to = pick(2) == 0 ? "QUEUED" : "PROCESSING";
      wanted = model_.restore(as, token, to);
      return check(job, "restore", job.restore(to, 0, 0), wanted);
    }

    if (as == 0) return;
    wanted = model_.fence(as, token);
    const bool open = wanted.empty();
    if (kind < 35) {
      static const char* const kStates[] = {"PROCESSING", "PROCESSING", "PROCESSING",
                                            "COMPLETED",  "FAILED",     "QUEUED"};
      const std::string to = kStates[pick(6)];
      op = "move";
      words = {to, "test"};
      if (to == "FAILED" && pick(2) == 0) words.insert(words.end(), {"code", "x"});
      if (open) wanted = model_.move(to);
      if (wanted == "TERMINAL" && to == model_.state) wanted = "DUP";
    } else if (kind < 47) {
      const unsigned attempt = 1 + pick(3);
      op = "begin";
      words = {text, std::to_string(attempt)};
      if (open) wanted = model_.mark(index, attempt, false);
    } else if (kind < 55) {
      const unsigned attempt = 2 + pick(3);
      op = "retry";
      words = {text, std::to_string(attempt), "100", "503", "test"};
      if (open) wanted = model_.mark(index, attempt, true);
    } else if (kind < 70) {
      op = "done";
      words = {text, any_record("done", index, by)};
      if (open) wanted = model_.settle(index, "done", by);
    } else if (kind < 76) {
      op = "skip";
      words = {text, any_record("skipped", index, by), "silence"};
      if (open) wanted = model_.settle(index, "skipped", by);
    } else if (kind < 82) {
      op = "fail";
      words = {text, any_record("failed", index, by)};
      if (open) wanted = model_.settle(index, "failed", by);
    } else if (kind < 85) {
      op = "put";
      for (unsigned i = 0, n = pick(4); i < n; i++) {
        static const char* const kStatus[] = {"done", "skipped", "failed"};
        const std::string status = kStatus[pick(3)];
        const int at = static_cast<int>(pick(kChunks));
        words.insert(words.end(), {std::to_string(at), any_record(status, at, by)});
        if (!open) continue;
        const auto is = model_.chunks.find(at);
        if (is == model_.chunks.end() ||
            (is->second.status != "done" && is->second.status != status)) {
          model_.chunks[at] = {status, by};
          model_.inflight.erase(at);
          model_.quiet = true;
        }
      }
      if (open) model_.settle_total();
      if (open) wanted = "OK";
    } else if (kind < 90) {
      const std::size_t total = pick(12);
      const std::size_t event = pick(4);
      op = "progress";
      words = {std::to_string(total), std::to_string(event)};
      if (open) {
        wanted = event > 0 && event <= model_.told ? "DUP" : "OK";
        if (wanted == "OK") {
          model_.total = std::max(model_.total, total);
          model_.told = std::max(model_.told, event);
        }
      }
    } else if (kind < 95) {
      op = "beat";
      words = {"30000"};
      if (open) {
        model_.leased = true;
        wanted = "OK";
      }
    } else {
      op = "sync";
      words = {"0"};
      if (open) wanted = "OK";
    }
    check(job, op, job(op, words), wanted);
    if (pick(5) == 0) {
      const std::string once = job.dump();
      const std::string answer = job(op, words);
      ck_same(op + " again: " + job.dump(), op + " again: " + once);
      verify(job, op);
    }
  }

 private:
  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }
  std::string any_record(const std::string& status, int index, unsigned by) {
    return record(status, static_cast<std::uint64_t>(index), std::to_string(pick(1000)), by);
  }

  void check(JobClient& job, const std::string& op, const std::string& answer,
             const std::string& wanted) {
    ck_assert_msg(answer.substr(0, answer.find(' ')) == wanted, "step %d, %s: %s instead of %s",
                  steps_, op.c_str(), answer.c_str(), wanted.c_str());
    verify(job, op);
    steps_++;
  }

  void verify(JobClient& job, const std::string& op) {
    const std::string problem = job.problem(!model_.quiet);
    ck_assert_msg(problem.empty(), "step %d, %s: %s", steps_, op.c_str(), problem.c_str());
    if (!model_.exists) {
      ck_same(redis_("DBSIZE").text, "0");
      return;
    }
    ck_same(job.state(), model_.state);
    auto ctl = job.all("ctl");
    ck_same(ctl["epoch"], std::to_string(model_.epoch));
    ck_same(ctl["token"], model_.token);
    ck_same(ctl["cancel"], model_.cancel);
    ck_same(ctl["barren"], std::to_string(model_.barren));
    auto progress = job.all("progress");
    ck_same(op + progress["total"], op + std::to_string(model_.total));
    ck_same(progress["done"], std::to_string(model_.count("done")));
    ck_same(progress["skipped"], std::to_string(model_.count("skipped")));
    ck_same(progress["failed"], std::to_string(model_.count("failed")));
    ck_same(progress["inflight"], std::to_string(model_.inflight.size()));
    ck_same(progress["audio_ms"], std::to_string(1000 * model_.count("done")));
    std::string stored, known;
    for (const char* name : {"chunks", "cerr"}) {
      for (const auto& chunk : job.all(name)) stored += chunk.first + " ";
    }
    for (const bool failed : {false, true}) {
      for (const auto& chunk : model_.chunks) {
        if ((chunk.second.status == "failed") == failed) known += std::to_string(chunk.first) + " ";
      }
    }
    ck_same(stored, known);
  }

  RedisClient& redis_;
  std::mt19937 random_;
  std::vector<JobClient> clients_;
  Model model_;
  int tokens_ = 0;
  int steps_ = 0;
};

START_TEST(the_script_does_what_the_model_says) {
  RedisClient redis(shared_server->port());
  const char* full = std::getenv("TRANSCRIBE_FULL");
  const unsigned runs = full != nullptr && *full != '\0' ? 100 : 6;
  for (unsigned seed = 0; seed < runs; seed++) {
    redis("FLUSHALL");
    Walk walk(redis, static_cast<unsigned>(_i) * 100000 + seed);
    for (int i = 0; i < 150; i++) walk.step();
  }
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_random");
  TCase* tcase = tcase_create("job_random");
  tcase_set_timeout(tcase, 600);
  tcase_add_unchecked_fixture(tcase, start_shared_server, stop_shared_server);
  tcase_add_checked_fixture(tcase, empty_shared_server, nullptr);
  tcase_add_loop_test(tcase, the_script_does_what_the_model_says, 0, 4);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
