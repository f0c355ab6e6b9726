#include "mirror_check.h"

#include <json-glib/json-glib.h>

#include <map>

#include "base/glib_ptr.h"
#include "job_client.h"

#include <gst/check/gstcheck.h>

namespace transcribe::testing {
namespace {

struct Told {
  std::string state;
  std::string reason;
  std::map<std::string, std::string> chunks;  // "done TEXT", "failed", "skipped REASON"
};

Told told_on_the_bus(const SinkPipeline& pipeline) {
  Told told;
  for (const Seen& seen : pipeline.messages()) {
    if (seen.name == "openaitranscribe/job") {
      told.state = string_field(seen.structure, "state");
      told.reason = string_field(seen.structure, "reason");
      continue;
    }
    std::string outcome;
    if (seen.name == "openaitranscribe/result") {
      outcome = "done " + string_field(seen.structure, "text");
    } else if (seen.name == "openaitranscribe/chunk-failed") {
      outcome = "failed";
    } else if (seen.name == "openaitranscribe/chunk-skipped") {
      outcome = "skipped " + string_field(seen.structure, "reason");
    }
    if (!outcome.empty())
      told.chunks[std::to_string(uint64_field(seen.structure, "chunk-index"))] = outcome;
  }
  return told;
}

std::string outcome_of(const std::string& record) {
  const ObjectPtr<JsonParser> parser(json_parser_new());
  ck_assert_msg(json_parser_load_from_data(parser.get(), record.data(),
                                           static_cast<gssize>(record.size()), nullptr),
                "%s", record.c_str());
  JsonObject* object = json_node_get_object(json_parser_get_root(parser.get()));
  const auto text = [&](const char* name) {
    return std::string(json_object_get_string_member_with_default(object, name, ""));
  };
  const std::string status = text("status");
  if (status == "done") return "done " + text("text");
  if (status == "skipped") return "skipped " + text("skip_reason");
  return status;
}

}  // namespace

void check_mirror(SinkPipeline& pipeline, std::uint16_t port, bool complete) {
  pipeline.collect();
  const Told told = told_on_the_bus(pipeline);
  char* id = nullptr;
  g_object_get(pipeline.sink(), "job-id", &id, nullptr);
  RedisClient redis(port);
  JobClient job(redis, id);
  g_free(id);
  job.ttl = "604800000";
  job.retention = "86400000";

  const auto same = [&](const char* what, const std::string& stored, const std::string& said) {
    ck_assert_msg(stored == said, "%s of %s: \"%s\" in Redis, \"%s\" on the bus", what,
                  job.id.c_str(), stored.c_str(), said.c_str());
  };
  same("state", job.state(), told.state);
  same("reason", job.field("meta", "reason"), told.reason);
  std::map<std::string, std::string> stored;
  for (const char* key : {"chunks", "cerr"}) {
    for (const auto& [index, record] : job.all(key)) stored[index] = outcome_of(record);
  }
  // What was settled and could not be told in order any more, when the job ended early.
  for (const auto& [index, outcome] : stored) {
    const auto found = told.chunks.find(index);
    if (found != told.chunks.end()) {
      same("chunk", outcome, found->second);
    } else {
      ck_assert_msg(told.state == "QUEUED" || told.reason == "error" || told.reason == "cancelled",
                    "chunk %s is in Redis, not on the bus", index.c_str());
    }
  }
  for (const auto& [index, outcome] : told.chunks)
    ck_assert_msg(stored.contains(index), "chunk %s is not in Redis: %s", index.c_str(),
                  outcome.c_str());

  const auto ends = pipeline.named("openaitranscribe/complete");
  if (!ends.empty()) {
    const auto counter = [&](const char* name) {
      return std::to_string(uint64_field(ends.back(), name));
    };
    same("done", job.field("progress", "done"), counter("chunks-completed"));
    same("failed", job.field("progress", "failed"), counter("chunks-failed"));
    same("skipped", job.field("progress", "skipped"), counter("chunks-skipped"));
  }
  if (told.state == "COMPLETED")
    same("total", job.field("progress", "total"), std::to_string(stored.size()));
  if (told.state == "FAILED") {
    ck_assert_msg(!job.field("error", "message").empty() && job.field("error", "message") != "-",
                  "no error in Redis");
  } else {
    ck_assert_uint_eq(job.all("error").size(), 0);
  }
  for (const RedisReply& key : redis("KEYS", "*transcribe:*").items) {
    // -2: it expired between the two.
    const std::int64_t left = redis("PTTL", key.text).number;
    ck_assert_msg(left != -1, "%s stays for ever", key.text.c_str());
  }
  const std::string problem = job.problem(complete);
  ck_assert_msg(problem.empty(), "%s", problem.c_str());
}

}  // namespace transcribe::testing
