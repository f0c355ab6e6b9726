// The form fields of both endpoints and the element's properties that fill them.
#pragma once

#include <optional>
#include <string_view>

namespace transcribe {

// "timestamp_granularities[]" and "timestamp_granularities[0]" are one field.
inline std::string_view field_base_name(std::string_view name) {
  return name.substr(0, name.find('['));
}

// The property to name when the service complains about a field; absent for `file` and for names
// that no endpoint knows.
inline std::optional<std::string_view> property_of_field(std::string_view name) {
  struct Row {
    std::string_view field;
    std::string_view property;
  };
  static constexpr Row kRows[] = {
      {"model", "model"},
      {"language", "language-code"},
      {"languages", "languages"},
      {"keywords", "keywords"},
      {"prompt", "prompt"},
      {"response_format", "response-format"},
      {"temperature", "temperature"},
      {"chunking_strategy", "chunking-strategy"},
      {"include", "logprobs"},
      {"timestamp_granularities", "timestamp-granularities"},
      {"known_speaker_names", "extra-fields"},
      {"known_speaker_references", "extra-fields"},
      {"stream", "extra-fields"},
  };
  for (const Row& row : kRows) {
    if (row.field == field_base_name(name)) return row.property;
  }
  return std::nullopt;
}

}  // namespace transcribe
