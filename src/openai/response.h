// The answers of every server that speaks the protocol, read tolerantly: only `text` is needed,
// numbers may be strings, members may be missing, unknown ones are ignored. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "http/message.h"
#include "openai/request.h"

namespace transcribe {

// Times are relative to the payload's first sample.
struct Word {
  Nanoseconds start{0};
  Nanoseconds end{0};
  std::string text;
  std::optional<double> confidence;
};

struct Segment {
  Nanoseconds start{0};
  Nanoseconds end{0};
  std::string text;
  std::string speaker;               // diarized_json
  std::optional<double> confidence;  // exp(avg_logprob)
  std::optional<double> avg_logprob;
  std::optional<double> no_speech_prob;
  std::optional<double> compression_ratio;
};

struct Transcription {
  std::string text;      // valid UTF-8, without NUL
  std::string language;  // code or name as the server gave it; empty when unknown
  std::vector<Segment> segments;
  std::vector<Word> words;           // from `words` or from inside the segments
  std::optional<double> confidence;  // mean over logprobs, when asked for
  std::string request_id;
  std::string raw;  // the body as received, made valid UTF-8
};

// Fails (a cut or broken answer: worth one more try) when there is no text in it. An empty text is
// a success: silence.
Result<Transcription> parse_response(const HttpResponse& response, ResponseFormat format);

// Any bytes to valid UTF-8 without NUL: invalid sequences become U+FFFD.
std::string make_utf8(std::string_view bytes);

}  // namespace transcribe
