#include "transcript/json_writer.h"

#include <glib/gstdio.h>
#include <stdlib.h>

#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "transcript/append_file.h"
#include "transcript/formats.h"

namespace transcribe {
namespace {

constexpr std::size_t kBlockBytes = 64 * 1024;

// Text on its way to the file, in blocks.
class Document {
 public:
  explicit Document(AppendFile& file) : file_(file) {}

  // False after the first error.
  bool add(std::string_view text) {
    block_ += text;
    return block_.size() < kBlockBytes || flush();
  }
  WriteStatus finish() {
    if (!flush()) return status_;
    return file_.finish();
  }

 private:
  bool flush() {
    if (status_) status_ = file_.append(std::exchange(block_, {}), true);
    return status_.ok();
  }

  AppendFile& file_;
  std::string block_;
  WriteStatus status_ = Success{};
};

// Visits the store's outcomes, joined. Chunks that are missing do not hold up later ones.
Status for_each_joined(JobStore& store, const std::function<bool(const Released&)>& visit) {
  Joiner joiner;
  const auto visit_all = [&](const std::vector<Released>& released) {
    for (const Released& one : released) {
      if (!visit(one)) return false;
    }
    return true;
  };
  const Status read = store.for_each([&](const Outcome& outcome) {
    std::vector<Released> released = joiner.add(outcome);
    if (released.empty()) released = joiner.pass_gaps();
    return visit_all(released);
  });
  if (read) visit_all(joiner.finish());
  return read;
}

class JsonWriter final : public TranscriptWriter {
 public:
  JsonWriter(std::string location, std::string job_id, bool resumed)
      : location_(std::move(location)), job_id_(std::move(job_id)), resumed_(resumed) {}

  bool reads_store() const override { return true; }
  WriteStatus write(const Released&) override { return Success{}; }

  WriteStatus write_unsettled(const ChunkInfo& chunk) override {
    unsettled_[chunk.index] = chunk;
    return Success{};
  }

  WriteStatus finish(JobState state, JobStore& store, bool whole) override;

 private:
  WriteStatus write_document(AppendFile& file, JobState state, JobStore& store) const;
  Status add_chunks(Document& document, JobStore& store) const;

  const std::string location_;
  const std::string job_id_;
  const bool resumed_;
  std::map<std::uint64_t, ChunkInfo> unsettled_;
};

WriteStatus JsonWriter::finish(JobState state, JobStore& store, bool whole) {
  // An earlier run's document may hold more.
  if (resumed_ && !whole && g_file_test(location_.c_str(), G_FILE_TEST_IS_REGULAR)) {
    return Success{};
  }
  if (AppendFile::is_stream(location_)) {
    const auto stream = AppendFile::open(location_);
    if (!stream) return stream.error();
    return write_document(**stream, state, store);
  }
  // Through a link, so that the link stays one.
  const Handle<char, ::free> resolved(::realpath(location_.c_str(), nullptr));
  const std::string target = resolved ? resolved.get() : location_;
  const auto file = AppendFile::create_beside(target);
  if (!file) return file.error();
  const std::string& path = (*file)->path();
  WriteStatus status = write_document(**file, state, store);
  if (status && g_rename(path.c_str(), target.c_str()) != 0) {
    status = write_error(location_, errno);
  }
  if (!status) g_unlink(path.c_str());
  return status;
}

WriteStatus JsonWriter::write_document(AppendFile& file, JobState state, JobStore& store) const {
  Document document(file);
  document.add("{\"job_id\":" + quote_json(job_id_) + ",\n\"state\":\"" +
               std::string(to_string(state)) + "\",\n\"text\":\"");
  Status read = for_each_joined(store, [&](const Released& released) {
    if (!released.text) return true;
    const std::string quoted = quote_json(released.text->text);
    return document.add(std::string_view(quoted).substr(1, quoted.size() - 2));
  });
  if (read) {
    document.add("\",\n\"chunks\":[");
    read = add_chunks(document, store);
  }
  if (!read) return WriteError{read.error().message};
  document.add("]}\n");
  return document.finish();
}

Status JsonWriter::add_chunks(Document& document, JobStore& store) const {
  const char* separator = "\n";
  const auto add = [&](const std::string& chunk) {
    const bool added = document.add(separator + chunk);
    separator = ",\n";
    return added;
  };
  auto missing = unsettled_.begin();
  const auto add_missing_before = [&](std::uint64_t index) {
    for (; missing != unsettled_.end() && missing->first <= index; ++missing) {
      if (missing->first < index && !add(format_json(missing->second))) return false;
    }
    return true;
  };
  const Status read = for_each_joined(store, [&](const Released& released) {
    return (!released.outcome || add_missing_before(chunk_of(*released.outcome).index)) &&
           add(format_json(released));
  });
  for (; read && missing != unsettled_.end(); ++missing) add(format_json(missing->second));
  return read;
}

}  // namespace

Result<std::unique_ptr<TranscriptWriter>, WriteError> open_json_writer(const std::string& location,
                                                                       const std::string& job_id,
                                                                       bool resumed) {
  const Status check = AppendFile::check(location, false);
  if (!check) return WriteError{check.error().message};
  return std::unique_ptr<TranscriptWriter>(std::make_unique<JsonWriter>(location, job_id, resumed));
}

}  // namespace transcribe
