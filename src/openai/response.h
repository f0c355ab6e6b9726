// The answers of every server that speaks the protocol, read tolerantly: only `text` is needed,
// numbers may be strings, members may be missing, unknown ones are ignored. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "http/message.h"

namespace transcribe {

// Times are relative to the payload's first sample; never negative, start <= end.
struct Word {
  Nanoseconds start{0};
  Nanoseconds end{0};
  std::string text;
  std::optional<double> confidence;  // 0..1
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

// Texts are valid UTF-8 without NUL and without white space at the ends.
struct Transcription {
  std::string text;
  std::string language;              // code or name as the server gave it; empty when unknown
  std::vector<Segment> segments;     // by start
  std::vector<Word> words;           // by start; from `words` or from inside the segments
  std::optional<double> confidence;  // exp of the mean over logprobs, when asked for
  std::string request_id;
  std::string raw;       // the body as received, made valid UTF-8
  bool is_echo = false;  // only the prompt again, as far as can be told; there is nothing better
};

// Fails (a cut or broken answer: worth one more try) when there is no text in it. An empty text is
// a success: silence. Servers choose their own shape, whatever format was asked for.
Result<Transcription> parse_response(const HttpResponse& response);

// Servers let segments and words run past the audio's end: cuts them there.
void clamp_times(Transcription& transcription, Nanoseconds duration);

// The service's name for the request, for its support; empty when it gave none.
std::string find_request_id(const Headers& headers);

// Any bytes to valid UTF-8 without NUL: invalid sequences become U+FFFD.
std::string make_utf8(std::string_view bytes);

}  // namespace transcribe
