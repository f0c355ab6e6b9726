#include "transcript/writer.h"

#include <array>
#include <cstdint>
#include <utility>

#include "base/glib_ptr.h"
#include "transcript/append_file.h"
#include "transcript/formats.h"
#include "transcript/json_writer.h"

namespace transcribe {
namespace {

class AppendingWriter final : public TranscriptWriter {
 public:
  AppendingWriter(std::unique_ptr<AppendFile> file, TranscriptFormat format)
      : file_(std::move(file)), format_(format) {}

  WriteStatus begin() {
    return file_->append(format_ == TranscriptFormat::kVtt ? "WEBVTT\n\n" : "");
  }

  WriteStatus write(const Released& released) override {
    switch (format_) {
      case TranscriptFormat::kSrt:
        return file_->append(format_srt(make_cues(released), next_cue_));
      case TranscriptFormat::kVtt:
        return file_->append(format_vtt(make_cues(released)));
      case TranscriptFormat::kJsonl:
        return file_->append(format_json(released) + "\n");
      default:
        return file_->append(format_txt(released));
    }
  }

  WriteStatus write_unsettled(const ChunkInfo& chunk) override {
    const Cue hole = make_hole(chunk, kUnsettled);
    switch (format_) {
      case TranscriptFormat::kSrt:
        return file_->append(format_srt({show_hole(hole)}, next_cue_));
      case TranscriptFormat::kVtt:
        return file_->append(format_vtt({show_hole(hole)}));
      case TranscriptFormat::kJsonl:
        return file_->append(format_json(chunk) + "\n");
      default:
        return file_->append(format_txt(hole));
    }
  }

  WriteStatus finish(JobState, JobStore&, bool whole) override { return file_->finish(whole); }

 private:
  std::unique_ptr<AppendFile> file_;
  const TranscriptFormat format_;
  std::uint64_t next_cue_ = 1;
};

struct Ending {
  const char* ending;
  TranscriptFormat format;
};
constexpr std::array kEndings{
    Ending{".srt", TranscriptFormat::kSrt}, Ending{".vtt", TranscriptFormat::kVtt},
    Ending{".jsonl", TranscriptFormat::kJsonl}, Ending{".json", TranscriptFormat::kJson}};

}  // namespace

TranscriptFormat resolve_format(TranscriptFormat format, const std::string& location) {
  if (format != TranscriptFormat::kAuto) return format;
  const CharPtr lower(g_ascii_strdown(location.c_str(), -1));
  for (const Ending& candidate : kEndings) {
    if (g_str_has_suffix(lower.get(), candidate.ending)) return candidate.format;
  }
  return TranscriptFormat::kTxt;
}

Status TranscriptWriter::check(const std::string& location, TranscriptFormat format) {
  return AppendFile::check(location, resolve_format(format, location) != TranscriptFormat::kJson);
}

Result<std::unique_ptr<TranscriptWriter>, WriteError> TranscriptWriter::open(
    const std::string& location, TranscriptFormat format, const std::string& job_id, bool resumed) {
  const TranscriptFormat resolved = resolve_format(format, location);
  if (resolved == TranscriptFormat::kJson) return open_json_writer(location, job_id, resumed);
  auto file = resumed ? AppendFile::open_behind(location) : AppendFile::open(location);
  if (!file) return file.error();
  auto writer = std::make_unique<AppendingWriter>(std::move(*file), resolved);
  const WriteStatus begun = writer->begin();
  // A pipe may get its reader later.
  if (!begun && !AppendFile::is_stream(location)) return begun.error();
  return std::unique_ptr<TranscriptWriter>(std::move(writer));
}

}  // namespace transcribe
