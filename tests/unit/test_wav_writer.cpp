#include <glib.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "audio/chunk.h"
#include "audio/wav_writer.h"

#include "check_main.h"

namespace {

using transcribe::kWavHeaderBytes;
using transcribe::wav_header;

using Header = std::array<std::uint8_t, kWavHeaderBytes>;

std::uint32_t number(const Header& header, std::size_t offset, std::size_t bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = bytes; i > 0; --i) value = value << 8 | header[offset + i - 1];
  return value;
}

std::string_view tag(const Header& header, std::size_t offset) {
  return {reinterpret_cast<const char*>(header.data()) + offset, 4};
}

START_TEST(describes_16_khz_mono_s16) {
  const Header header = wav_header(32000);
  ck_assert(tag(header, 0) == "RIFF");
  ck_assert(tag(header, 8) == "WAVE");
  ck_assert(tag(header, 12) == "fmt ");
  ck_assert_uint_eq(number(header, 16, 4), 16);     // length of the format
  ck_assert_uint_eq(number(header, 20, 2), 1);      // PCM
  ck_assert_uint_eq(number(header, 22, 2), 1);      // channels
  ck_assert_uint_eq(number(header, 24, 4), 16000);  // frames a second
  ck_assert_uint_eq(number(header, 28, 4), 32000);  // bytes a second
  ck_assert_uint_eq(number(header, 32, 2), 2);      // bytes a frame
  ck_assert_uint_eq(number(header, 34, 2), 16);     // bits a sample
  ck_assert(tag(header, 36) == "data");
}
END_TEST

START_TEST(sizes_are_exact) {
  for (const std::uint32_t bytes : {0u, 2u, 3200u, 896000u, 26214400u - 44u, 0xfffffffeu - 36u}) {
    const Header header = wav_header(bytes);
    ck_assert_uint_eq(number(header, 4, 4), bytes + 36);
    ck_assert_uint_eq(number(header, 40, 4), bytes);
  }
}
END_TEST

START_TEST(every_reason_has_its_name) {
  using transcribe::CutReason;
  using transcribe::to_string;
  ck_assert(to_string(CutReason::kFixed) == "fixed");
  ck_assert(to_string(CutReason::kPause) == "pause");
  ck_assert(to_string(CutReason::kForced) == "forced");
  ck_assert(to_string(CutReason::kSilence) == "silence");
  ck_assert(to_string(CutReason::kDiscontinuity) == "discontinuity");
  ck_assert(to_string(CutReason::kRequested) == "requested");
  ck_assert(to_string(CutReason::kStalled) == "stalled");
  ck_assert(to_string(CutReason::kEndOfStream) == "eos");
}
END_TEST

START_TEST(days_of_frames_convert_exactly) {
  using transcribe::frames_to_time;
  using transcribe::time_to_frames;
  const std::uint64_t month = 31ull * 24 * 3600 * transcribe::kSampleRate;
  ck_assert_int_eq(frames_to_time(month).count(), 31ll * 24 * 3600 * 1000000000);
  ck_assert_int_eq(frames_to_time(month + 1).count(), 31ll * 24 * 3600 * 1000000000 + 62500);
  ck_assert_uint_eq(time_to_frames(frames_to_time(month + 1)), month + 1);
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("wav_writer");
  TCase* tests = tcase_create("wav_writer");
  tcase_add_test(tests, describes_16_khz_mono_s16);
  tcase_add_test(tests, sizes_are_exact);
  tcase_add_test(tests, every_reason_has_its_name);
  tcase_add_test(tests, days_of_frames_convert_exactly);
  suite_add_tcase(suite, tests);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
