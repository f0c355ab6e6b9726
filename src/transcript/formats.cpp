#include "transcript/formats.h"

#include <algorithm>
#include <string_view>

#include "base/glib_ptr.h"
#include "base/json_text.h"
#include "transcript/cue_atoms.h"
#include "transcript/graphemes.h"
#include "transcript/stream_times.h"
#include "transcript/text_spans.h"

namespace transcribe {
namespace {

bool ends_line(gunichar character) {
  return character == '\n' || character == '\r' || character == '\v' || character == '\f' ||
         character == 0x85 || character == 0x2028 || character == 0x2029;
}

// The lines of a text without empty ones, their outer spaces and control characters.
std::string tidy(const std::string& text, std::string_view separator) {
  std::string tidied;
  std::string line;
  std::size_t line_length = 0;  // without the spaces at its end
  const auto end_line = [&] {
    line.resize(line_length);
    if (!line.empty() && !tidied.empty()) tidied += separator;
    tidied += line;
    line.clear();
    line_length = 0;
  };
  for (const char* p = text.c_str(); *p != '\0'; p = g_utf8_next_char(p)) {
    const gunichar character = g_utf8_get_char(p);
    if (ends_line(character)) {
      end_line();
    } else if (g_unichar_isspace(character)) {
      if (!line.empty()) line.append(p, g_utf8_next_char(p) - p);
    } else if (!g_unichar_iscntrl(character)) {
      line.append(p, g_utf8_next_char(p) - p);
      line_length = line.size();
    }
  }
  end_line();
  return tidied;
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
}

std::string escape_markup(std::string text) {
  replace_all(text, "&", "&amp;");
  replace_all(text, "<", "&lt;");
  replace_all(text, ">", "&gt;");
  return text;
}

std::string cue_time(Nanoseconds time, char decimal_mark) {
  const std::int64_t ms = std::max<std::int64_t>(0, time.count() / 1000000);
  const CharPtr text(g_strdup_printf(
      "%02" G_GINT64_FORMAT ":%02d:%02d%c%03d", ms / 3600000, static_cast<int>(ms / 60000 % 60),
      static_cast<int>(ms / 1000 % 60), decimal_mark, static_cast<int>(ms % 1000)));
  return text.get();
}

std::string cue_times(const Cue& cue, char decimal_mark) {
  return cue_time(cue.begin, decimal_mark) + " --> " + cue_time(cue.end, decimal_mark) + "\n";
}

std::string with_speaker(const Cue& cue, std::string_view separator) {
  const std::string text = tidy(cue.text, separator);
  const std::string speaker = cut_to(kLongestName, tidy(cue.speaker, " "));
  return speaker.empty() || text.empty() ? text : speaker + ": " + text;
}

// `chunk`: which it is in or next to.
void write_span(JsonText& json, const ChunkInfo& chunk, Nanoseconds begin, Nanoseconds end) {
  const StreamTimes times(chunk);
  json.time("timestamp", begin);
  if (!times.same()) json.time("stream_time", times.at(begin));
  json.time("duration", end - begin);
}

void write_head(JsonText& json, const ChunkInfo& chunk, const char* status) {
  json.number("index", chunk.index);
  write_span(json, chunk, chunk.time.timestamp, chunk.time.timestamp + chunk.duration());
  json.text("status", status);
}

std::string text_of(const TextPiece& piece, const TextSpan& span) {
  return std::string(
      trimmed(std::string_view(piece.text).substr(span.begin, span.end - span.begin)));
}

void write_segments(JsonText& json, const TextPiece& piece) {
  if (piece.speakers.empty()) return;
  json.begin_array("segments");
  for (const TextSpan& span : segment_spans(piece)) {
    const std::string text = text_of(piece, span);
    if (text.empty()) continue;
    Nanoseconds begin = piece.time.timestamp;
    Nanoseconds end = begin;
    for (std::size_t i = span.first; i < span.last; ++i) {
      begin = i == span.first ? piece.tokens[i].start : std::min(begin, piece.tokens[i].start);
      end = i == span.first ? piece.tokens[i].stop : std::max(end, piece.tokens[i].stop);
    }
    json.begin_object();
    write_span(json, *piece.chunk, begin, end);
    json.text("text", text);
    json.text_if_any("speaker", span.speaker);
    json.end_object();
  }
  json.end_array();
}

void write_seam(JsonText& json, const ChunkInfo& chunk, const Seam& seam) {
  json.begin_object("seam");
  json.text("kind", std::string(to_string(seam.kind)));
  write_span(json, chunk, seam.begin, seam.end);
  json.text_if_any("dropped_left", seam.dropped_left);
  json.text_if_any("dropped_right", seam.dropped_right);
  json.end_object();
}

void write_text(JsonText& json, const TextPiece& piece) {
  json.text("text", piece.text);
  write_segments(json, piece);
  if (!piece.words.empty()) {
    json.begin_array("words");
    for (const Word& word : piece.words) {
      json.begin_object();
      write_span(json, *piece.chunk, word.start, word.end);
      json.text("text", word.text);
      json.number_if_any("confidence", word.confidence);
      json.end_object();
    }
    json.end_array();
  }
  if (piece.seam) write_seam(json, *piece.chunk, *piece.seam);
}

void write_error(JsonText& json, const Failure& failure) {
  json.begin_object("error");
  json.text_if_any("reason", failure.reason);
  if (failure.http_status != 0) json.number("http_status", std::uint64_t{failure.http_status});
  json.text_if_any("type", failure.error_type);
  json.text_if_any("code", failure.error_code);
  json.text_if_any("message", failure.message);
  json.end_object();
}

// Returns whether the object needs a text even if there is none.
bool write_outcome(JsonText& json, const Outcome& outcome) {
  if (const auto* done = std::get_if<ChunkDone>(&outcome)) {
    write_head(json, *done->chunk, "done");
    if (done->transcription) json.text_if_any("language", done->transcription->language);
    if (!done->suspect.empty()) {
      json.begin_array("suspect");
      for (const Suspicion why : done->suspect) json.element(std::string(to_string(why)));
      json.end_array();
    }
    json.flag_if_set("dropped", done->dropped);
    return true;
  }
  if (const auto* failed = std::get_if<ChunkFailed>(&outcome)) {
    write_head(json, *failed->chunk, "failed");
    write_error(json, failed->failure);
    return false;
  }
  const auto& skipped = std::get<ChunkSkipped>(outcome);
  write_head(json, *skipped.chunk, "skipped");
  json.text("reason", std::string(to_string(skipped.reason)));
  return false;
}

}  // namespace

std::string format_txt(const Cue& hole) { return tidy(hole.text, " ") + "\n"; }

std::string format_txt(const Released& released) {
  std::string lines;
  if (released.text) {
    for (const TextSpan& span : speaker_spans(*released.text)) {
      const std::string text = tidy(text_of(*released.text, span), " ");
      const std::string speaker = tidy(span.speaker, " ");
      if (!text.empty()) lines += (speaker.empty() ? text : speaker + ": " + text) + "\n";
    }
  }
  if (const auto hole = find_hole(released)) lines += format_txt(*hole);
  return lines;
}

std::string format_srt(const std::vector<Cue>& cues, std::uint64_t& number) {
  std::string block;
  for (const Cue& cue : cues) {
    std::string text = with_speaker(cue, "\n");
    if (text.empty()) continue;
    // SRT knows no escapes, and some readers look for the arrow alone.
    replace_all(text, "-->", "->");
    block += std::to_string(number++) + "\n" + cue_times(cue, ',') + text + "\n\n";
  }
  return block;
}

std::string format_vtt(const std::vector<Cue>& cues) {
  std::string block;
  for (const Cue& cue : cues) {
    const std::string text = escape_markup(tidy(cue.text, "\n"));
    if (text.empty()) continue;
    const std::string speaker = escape_markup(tidy(cue.speaker, " "));
    block += cue_times(cue, '.');
    if (!speaker.empty()) block += "<v " + speaker + ">";
    block += text + "\n\n";
  }
  return block;
}

std::string format_json(const Released& released) {
  JsonText json;
  bool needs_text = true;
  if (released.outcome) {
    needs_text = write_outcome(json, *released.outcome);
  } else {
    const TextPiece& rest = *released.text;
    json.number("index", rest.chunk->index);
    write_span(json, *rest.chunk, rest.time.timestamp, rest.time.timestamp + rest.duration);
    json.text("status", "rest");
  }
  if (released.text) {
    write_text(json, *released.text);
  } else if (needs_text) {
    json.text("text", "");
  }
  return json.take();
}

std::string format_json(const ChunkInfo& unsettled) {
  JsonText json;
  write_head(json, unsettled, "unsettled");
  return json.take();
}

}  // namespace transcribe
