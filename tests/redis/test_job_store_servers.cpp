// Servers of other kinds, and histories in which they disagree with the run.
#include <string>
#include <thread>

#include "job_store_test.h"
#include "redis_cluster.h"

namespace transcribe {
namespace {

using namespace std::chrono_literals;

// One short job, from its start to its end.
void run_a_job(JobRun& run, RedisClient& redis) {
  run.begin();
  run.transcribe(0, "one");
  run.complete();
  JobView view(redis, run.identity.job_id);
  ck_same(view.state(), "COMPLETED");
  ck_same(view.problem(), "");
}

START_TEST(a_unix_socket_and_a_database) {
  RedisServer::Options options;
  options.unix_socket = true;
  RedisServer server(options);
  JobRun run("redis+unix://" + server.socket_path() + "?db=3");
  RedisClient redis(server.port());
  redis("SELECT", "3");
  run_a_job(run, redis);
}
END_TEST

// Two nodes that share the slots; a job lies on the one that redis-uri does not name.
START_TEST(a_cluster) {
  RedisCluster cluster;
  RedisClient a(cluster.first.port()), b(cluster.second.port());
  const char* const kIndex = "transcribe:index:active";
  const bool index_here = cluster.first_has(kIndex);
  int far = 0;
  for (int i = 0; i < 6; i++) {
    JobRun run(cluster.first);
    run.identity.job_id = "talk" + std::to_string(i);
    const bool here = cluster.first_has("transcribe:jobs:" + run.identity.job_id);
    far += here ? 0 : 1;
    {
      // The hint is on one node only; a job on the other does without.
      JobRun hinted(cluster.first);
      hinted.identity.job_id = run.identity.job_id;
      hinted.assert_open();
      const RedisReply score = (index_here ? a : b)("ZSCORE", kIndex, hinted.identity.job_id);
      ck_assert_int_eq(score.text.empty(), here != index_here);
      hinted.end(JobState::kQueued, JobReason::kStopped);
      hinted.assert_finish();
      ck_same(hinted.watcher.counts(), "0 0 0 0 0");
    }
    run_a_job(run, here ? a : b);
    ck_same(run.watcher.counts(), "0 0 0 0 0");
  }
  ck_assert_int_gt(far, 0);
}
END_TEST

// The node that has the job stays, and with it all that the job has there. Named in redis-uri is
// that node, or the other one.
START_TEST(a_cluster_that_is_down_for_a_while) {
  RedisCluster cluster;
  const std::string stream = "transcribe:jobs:talk";
  RedisServer& node = cluster.node_of(stream);
  JobRun run(_i == 0 ? node : cluster.node_without(stream));
  run.begin();
  run.transcribe(0, "one");
  RedisClient redis(node.port());
  JobView view(redis);
  view.wait_for_done("1");
  cluster.take_slot(stream);
  run.transcribe(1, "two");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.errors.size() == 1; }));
  ck_assert(run.watcher.seen().errors[0].find("CLUSTERDOWN") != std::string::npos);
  run.transcribe(2, "three");
  cluster.give_slot(stream);
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  run.transcribe(3, "four");
  run.complete();
  ck_same(view.state(), "COMPLETED");
  ck_same(view.problem(), "");
  ck_same(view.field("progress", "done"), "4");
  ck_same(run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

// Without the majority of the nodes the other one takes no writes either.
START_TEST(a_cluster_that_loses_the_other_node) {
  RedisCluster cluster;
  const std::string stream = "transcribe:jobs:talk";
  RedisServer& node = cluster.node_of(stream);
  RedisServer& other = cluster.node_without(stream);
  JobRun run(node);
  run.begin();
  run.transcribe(0, "one");
  RedisClient redis(node.port());
  JobView view(redis);
  view.wait_for_done("1");
  other.freeze();
  redis("CONFIG", "SET", "cluster-node-timeout", "500");
  RedisCluster::wait_for_state(node, "fail");
  run.transcribe(1, "two");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.errors.size() == 1; }));
  redis("CONFIG", "SET", "cluster-node-timeout", "15000");
  other.thaw();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  run.complete();
  ck_same(view.problem(), "");
  ck_same(view.field("progress", "done"), "2");
  ck_same(run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

// First it can't be reached, then it is back without any data.
START_TEST(a_cluster_that_loses_the_node_with_the_job) {
  RedisCluster cluster;
  const std::string stream = "transcribe:jobs:talk";
  RedisServer& node = cluster.node_of(stream);
  JobRun run(cluster.node_without(stream));
  run.settings.timeout = Milliseconds(1000);
  run.begin();
  run.transcribe(0, "one");
  {
    RedisClient redis(node.port());
    JobView view(redis);
    view.wait_for_done("1");
  }
  node.kill();
  run.transcribe(1, "two");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.errors.size() == 1; }));
  node.restart();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  run.transcribe(2, "three");
  run.complete();
  RedisClient redis(node.port());
  JobView view(redis);
  ck_same(view.state(), "COMPLETED");
  ck_same(view.problem(false), "");
  ck_same(view.field("progress", "done"), "3");
  ck_same(run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

START_TEST(a_server_that_loads_its_data) {
  RedisServer::Options options;
  options.append_only = true;
  RedisServer server(options);
  {
    RedisClient redis(server.port());
    for (int i = 0; i < 3000; i++) redis("SET", "key" + std::to_string(i), std::string(100, 'x'));
  }
  JobRun run(server);
  run.settings.lease = Milliseconds(1200);
  run.begin();
  run.transcribe(0, "one");
  server.kill();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.errors.size() == 1; }));
  server.restart({"--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"},
                 false);
  RedisClient redis(server.port());
  ck_assert(redis("GET", "key1").text.starts_with("LOADING"));
  JobRun other(server);
  other.identity.job_id = "other";
  other.assert_open();
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  run.complete();
  JobView view(redis);
  ck_same(view.problem(), "");
  other.start();
  other.complete();
  ck_same(run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

// Scripts are not replicated, and the new master may lack the last writes.
START_TEST(a_replica_takes_over) {
  RedisServer master;
  RedisServer::Options options;
  options.replica_of = master.port();
  RedisServer replica(options);
  ck_assert(replica.wait_for_log("Finished with success"));
  JobRun run(master);
  run.settings.lease = Milliseconds(1200);
  run.begin();
  run.transcribe(0, "one");
  RedisClient old(master.port()), redis(replica.port());
  JobView view(redis);
  ck_assert(eventually([&] { return redis("HLEN", view.key("chunks")).str() == "1"; }));
  redis("REPLICAOF", "NO", "ONE");
  run.transcribe(1, "two");
  RedisClient source(master.port());
  ck_assert(eventually([&] { return source("HLEN", view.key("chunks")).str() == "2"; }));
  // The address now leads to the other server: as with a name that is resolved anew.
  source("REPLICAOF", "127.0.0.1", std::to_string(replica.port()));
  run.transcribe(2, "three");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.errors.size() == 1; }));
  ck_assert(eventually([&] { return source("HLEN", view.key("chunks")).str() == "1"; }));
  source("REPLICAOF", "NO", "ONE");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.recovered == 1; }));
  run.complete();
  JobView healed(source);
  ck_same(healed.problem(false), "");
  ck_same(healed.field("progress", "done"), "3");
  ck_same(run.watcher.counts(), "1 1 0 0 0");
}
END_TEST

// A snapshot from before this run's owner: the higher epoch wins.
START_TEST(a_server_that_knows_an_older_owner_only) {
  RedisServer server;
  {
    JobRun run(server);
    run.begin();
    run.transcribe(0, "one");
    run.end(JobState::kQueued, JobReason::kStopped);
    run.assert_finish();
    RedisClient redis(server.port());
    ck_same(redis("SAVE").text, "OK");
  }
  JobRun run(server);
  run.settings.lease = Milliseconds(1200);
  run.begin();
  run.transcribe(1, "two");
  {
    RedisClient redis(server.port());
    JobView view(redis);
    view.wait_for_done("2");
  }
  server.kill();
  server.restart();
  run.transcribe(2, "three");
  run.complete();
  RedisClient redis(server.port());
  JobView view(redis);
  ck_same(view.problem(false), "");
  ck_same(view.state(), "COMPLETED");
  ck_same(view.field("progress", "done"), "3");
  ck_same(view.field("ctl", "epoch"), "2");
  ck_assert(view.events_text().find("restored PROCESSING") != std::string::npos);
  const auto seen = run.watcher.seen();
  ck_assert(seen.offs.empty() && seen.takeovers.empty());
}
END_TEST

// The job was lost, and somebody else has begun it anew before we came back.
START_TEST(a_job_that_was_begun_anew_by_somebody_else) {
  RedisServer server;
  RedisClient redis(server.port());
  JobRun run(server);
  run.begin();
  JobView view(redis);
  view.wait_for_state("PROCESSING");
  redis("FLUSHALL");
  JobClient other(redis, "talk", "other");
  other.owner = "far-away boot 5 5";
  ck_same(other.create(), "OK 1 1 0 0 0 1 ");
  const std::string before = view.dump();
  run.transcribe(0, "one");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.takeovers.size() == 1; }));
  ck_assert(!run.finish().ok());
  ck_same(view.dump(), before);
  ck_same(run.watcher.counts(), "0 0 0 1 0");
}
END_TEST

START_TEST(a_job_that_was_ended_by_hand) {
  RedisServer server;
  RedisClient redis(server.port());
  JobRun run(server);
  run.begin();
  JobView view(redis);
  view.wait_for_state("PROCESSING");
  redis("SET", view.key("state"), "FAILED");
  run.transcribe(0, "one");
  ck_assert(run.watcher.wait([](const auto& seen) { return seen.offs.size() == 1; }));
  ck_assert(run.watcher.seen().offs[0].find("FAILED") != std::string::npos);
  ck_assert(!run.finish().ok());
  ck_same(run.watcher.counts(), "0 0 1 0 0");
}
END_TEST

START_TEST(the_group_of_consumers_is_made_again) {
  RedisServer server;
  RedisClient redis(server.port());
  JobRun run(server);
  run.settings.consumer_group = "readers";
  run.begin();
  JobView view(redis);
  view.wait_for_state("PROCESSING");
  redis("FLUSHALL");
  run.transcribe(0, "one");
  run.complete();
  ck_same(redis("XINFO", "GROUPS", view.key("")).items[0].items[1].text, "readers");
  ck_same(view.problem(false), "");
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("job_store_servers");
  TCase* tcase = tcase_create("servers");
  tcase_set_timeout(tcase, 120);
  for (const TTest* test :
       {a_unix_socket_and_a_database, a_cluster, a_cluster_that_loses_the_other_node,
        a_cluster_that_loses_the_node_with_the_job, a_server_that_loads_its_data,
        a_replica_takes_over, a_server_that_knows_an_older_owner_only,
        a_job_that_was_begun_anew_by_somebody_else, a_job_that_was_ended_by_hand,
        the_group_of_consumers_is_made_again}) {
    tcase_add_test(tcase, test);
  }
  tcase_add_loop_test(tcase, a_cluster_that_is_down_for_a_while, 0, 2);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace
}  // namespace transcribe

TRANSCRIBE_REDIS_MAIN(transcribe::make_suite)
