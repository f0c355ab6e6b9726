#include <gst/gst.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <random>
#include <vector>

#include "audio_normalizer.h"

#include "check_main.h"

namespace {

using namespace transcribe;

using Bytes = std::vector<std::uint8_t>;
using Samples = std::vector<std::int16_t>;

constexpr int kRates[] = {1,     999,   8000,  11025,  16000,  22050,
                          44100, 48000, 96000, 192000, 384000, 768000};

GstAudioInfo make_info(GstAudioFormat format, int rate, int channels, bool positioned = true,
                       GstAudioLayout layout = GST_AUDIO_LAYOUT_INTERLEAVED) {
  std::vector<GstAudioChannelPosition> positions(64, GST_AUDIO_CHANNEL_POSITION_NONE);
  if (positioned)
    gst_audio_channel_positions_from_mask(channels, gst_audio_channel_get_fallback_mask(channels),
                                          positions.data());
  GstAudioInfo info;
  gst_audio_info_init(&info);
  gst_audio_info_set_format(&info, format, rate, channels, positions.data());
  info.layout = layout;
  return info;
}

AudioNormalizer& configured(AudioNormalizer& normalizer, const GstAudioInfo& info) {
  ck_assert(normalizer.configure(info).ok());
  return normalizer;
}

// Any samples in [-1, 1) of channel c at frame i, packed in the format of `info`.
template <typename Signal>
Bytes render(const GstAudioInfo& info, std::size_t frames, Signal signal) {
  std::vector<double> values(frames * static_cast<std::size_t>(info.channels));
  for (std::size_t i = 0; i < frames; i++) {
    for (int c = 0; c < info.channels; c++)
      values[i * static_cast<std::size_t>(info.channels) + static_cast<std::size_t>(c)] =
          signal(i, c);
  }
  Bytes packed(frames * static_cast<std::size_t>(info.bpf));
  const int count = static_cast<int>(values.size());
  if (info.finfo->unpack_format == GST_AUDIO_FORMAT_F64) {
    info.finfo->pack_func(info.finfo, GST_AUDIO_PACK_FLAG_NONE, values.data(), packed.data(),
                          count);
  } else {
    ck_assert_int_eq(info.finfo->unpack_format, GST_AUDIO_FORMAT_S32);
    std::vector<std::int32_t> wide(values.size());
    for (std::size_t i = 0; i < wide.size(); i++)
      wide[i] = static_cast<std::int32_t>(std::lrint(values[i] * 2147483647.0));
    info.finfo->pack_func(info.finfo, GST_AUDIO_PACK_FLAG_NONE, wide.data(), packed.data(), count);
  }
  return packed;
}

Bytes noise(const GstAudioInfo& info, std::size_t frames, unsigned seed) {
  std::mt19937 random(seed);
  return render(info, frames, [&](std::size_t, int) {
    return static_cast<double>(random() % 20001) / 10000.0 - 1.0;
  });
}

Bytes sine(const GstAudioInfo& info, std::size_t frames) {
  return render(info, frames, [&](std::size_t i, int) {
    return 0.5 * std::sin(2 * std::numbers::pi * 440 * static_cast<double>(i) / info.rate);
  });
}

GstBuffer* wrap(const GstAudioInfo& info, const Bytes& data, std::size_t begin,
                std::size_t frames) {
  const std::size_t bpf = static_cast<std::size_t>(info.bpf);
  return gst_buffer_new_memdup(data.data() + begin * bpf, frames * bpf);
}

Status push(AudioNormalizer& normalizer, GstBuffer* buffer, Samples& out) {
  Status status = normalizer.push(buffer, out);
  gst_buffer_unref(buffer);
  return status;
}

std::size_t frames_of(const GstAudioInfo& info, const Bytes& data) {
  return data.size() / static_cast<std::size_t>(info.bpf);
}

Samples normalize(AudioNormalizer& normalizer, const Bytes& data) {
  Samples out;
  const GstAudioInfo info = normalizer.info();
  if (!data.empty())
    ck_assert(push(normalizer, wrap(info, data, 0, frames_of(info, data)), out).ok());
  normalizer.flush(out);
  return out;
}

Samples normalize(const GstAudioInfo& info, const Bytes& data) {
  AudioNormalizer normalizer;
  return normalize(configured(normalizer, info), data);
}

Samples normalize_in_parts(const GstAudioInfo& info, const Bytes& data, unsigned seed,
                           std::size_t longest) {
  AudioNormalizer normalizer;
  configured(normalizer, info);
  std::mt19937 random(seed);
  Samples out;
  const std::size_t frames = frames_of(info, data);
  for (std::size_t at = 0; at < frames;) {
    const std::size_t part = std::min<std::size_t>(frames - at, 1 + random() % longest);
    ck_assert(push(normalizer, wrap(info, data, at, part), out).ok());
    at += part;
  }
  normalizer.flush(out);
  return out;
}

struct Tone {
  double signal_to_noise;  // dB
  double delay;            // seconds
};

// What of the samples is the tone of sine(), whatever its amplitude and phase.
Tone find_tone(const Samples& samples) {
  const std::size_t edge = 400;  // the filter sees silence before and behind; whole periods remain
  const std::size_t count = (samples.size() - 2 * edge) / 400 * 400;
  const double step = 2 * std::numbers::pi * 440 / 16000;
  double in_phase = 0;
  double quadrature = 0;
  for (std::size_t i = edge; i < edge + count; i++) {
    in_phase +=
        samples[i] * std::sin(step * static_cast<double>(i)) * 2 / static_cast<double>(count);
    quadrature +=
        samples[i] * std::cos(step * static_cast<double>(i)) * 2 / static_cast<double>(count);
  }
  double error = 0;
  for (std::size_t i = edge; i < edge + count; i++) {
    const double ideal = in_phase * std::sin(step * static_cast<double>(i)) +
                         quadrature * std::cos(step * static_cast<double>(i));
    error += (samples[i] - ideal) * (samples[i] - ideal);
  }
  const double power =
      (in_phase * in_phase + quadrature * quadrature) / 2 * static_cast<double>(count);
  return {10 * std::log10(power / std::max(error, 1e-9)),
          std::abs(std::atan2(-quadrature, in_phase)) / step / 16000};
}

// The interleaved frames as a planar buffer with `padding` bytes between the planes.
GstBuffer* planar_buffer(const GstAudioInfo& info, const Bytes& interleaved, std::size_t padding) {
  const std::size_t channels = static_cast<std::size_t>(info.channels);
  const std::size_t width = static_cast<std::size_t>(info.bpf) / channels;
  const std::size_t frames = frames_of(info, interleaved);
  const std::size_t stride = frames * width + padding;
  Bytes planes(stride * channels, 0x55);
  std::vector<gsize> offsets(channels);
  for (std::size_t c = 0; c < channels; c++) {
    offsets[c] = c * stride;
    for (std::size_t i = 0; i < frames; i++) {
      std::memcpy(&planes[c * stride + i * width], &interleaved[(i * channels + c) * width], width);
    }
  }
  GstBuffer* buffer = gst_buffer_new_memdup(planes.data(), planes.size());
  gst_buffer_add_audio_meta(buffer, &info, frames, offsets.data());
  return buffer;
}

void setup() { gst_init(nullptr, nullptr); }

START_TEST(flushed_count_is_exact) {
  const int rate = kRates[_i];
  const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_S16, rate, 1);
  AudioNormalizer normalizer;
  configured(normalizer, info);
  std::vector<std::uint64_t> counts = {1, 2, 3, 159, 12345};
  if (rate >= 8000) {
    for (int more : {rate, rate - 1, rate + 1, rate / 10}) counts.push_back(more);
  }
  for (const std::uint64_t count : counts) {
    if (rate < 8000 && count > 200) continue;
    const Bytes data = noise(info, count, 1);
    const Samples out = normalize(normalizer, data);
    ck_assert_uint_eq(out.size(), gst_util_uint64_scale_round(count, 16000, rate));
    ck_assert_uint_eq(normalizer.frames_in(), 0);
  }
}
END_TEST

START_TEST(flush_gives_the_sound_that_the_converter_held) {
  const int rate = kRates[_i];
  if (rate < 8000) return;
  const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_S16, rate, 1);
  const std::size_t frames = static_cast<std::size_t>(rate) / 4 + 7;
  const Bytes data = noise(info, frames, 13);
  Bytes continued = data;
  continued.resize((frames + static_cast<std::size_t>(rate)) * 2);
  const Samples out = normalize(info, data);
  Samples expected = normalize(info, continued);
  expected.resize(out.size());
  ck_assert(out == expected);
}
END_TEST

START_TEST(no_frame_is_lost_over_an_hour) {
  AudioNormalizer normalizer;
  configured(normalizer, make_info(GST_AUDIO_FORMAT_S16, 11025, 1));
  Samples out;
  for (int i = 0; i < 3600; i++) normalizer.push_silence(11025, out);
  ck_assert_uint_eq(normalizer.frames_in(), 3600 * 11025);
  ck_assert_uint_ge(out.size(), 3600 * 16000 - 1600);
  normalizer.flush(out);
  ck_assert_uint_eq(out.size(), 3600 * 16000);
}
END_TEST

START_TEST(partition_does_not_matter) {
  const int rate = kRates[_i];
  for (const GstAudioFormat format :
       {GST_AUDIO_FORMAT_U8, GST_AUDIO_FORMAT_S16LE, GST_AUDIO_FORMAT_S24BE, GST_AUDIO_FORMAT_F32LE,
        GST_AUDIO_FORMAT_F64BE}) {
    for (const int channels : {1, 2}) {
      const GstAudioInfo info = make_info(format, rate, channels);
      const Bytes data = noise(info, rate < 8000 ? 60 : 3001, 2);
      const Samples whole = normalize(info, data);
      ck_assert(normalize_in_parts(info, data, 3, 4) == whole);
      ck_assert(normalize_in_parts(info, data, 4, 1024) == whole);
    }
  }
}
END_TEST

START_TEST(single_frames_in_give_the_same) {
  const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_F32, 44100, 2);
  const Bytes data = noise(info, 3001, 5);
  ck_assert(normalize_in_parts(info, data, 0, 1) == normalize(info, data));
}
END_TEST

START_TEST(flush_and_reset_start_afresh) {
  const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_S16, kRates[_i], 2);
  const Bytes data = noise(info, 100 + static_cast<std::size_t>(info.rate) / 8, 6);
  AudioNormalizer normalizer;
  configured(normalizer, info);
  const Samples first = normalize(normalizer, data);
  ck_assert(normalize(normalizer, data) == first);
  Samples dropped;
  ck_assert(push(normalizer, wrap(info, data, 0, 50), dropped).ok());
  ck_assert_uint_eq(normalizer.frames_in(), 50);
  normalizer.reset();
  ck_assert_uint_eq(normalizer.frames_in(), 0);
  ck_assert(normalize(normalizer, data) == first);
}
END_TEST

START_TEST(flush_of_nothing_gives_nothing) {
  AudioNormalizer normalizer;
  Samples out;
  ck_assert(!normalizer.configured());
  normalizer.flush(out);
  normalizer.reset();
  configured(normalizer, make_info(GST_AUDIO_FORMAT_S16, 44100, 2));
  ck_assert(normalizer.configured());
  normalizer.flush(out);
  normalizer.flush(out);
  ck_assert_uint_eq(out.size(), 0);
}
END_TEST

START_TEST(sine_survives_every_rate) {
  const int rate = kRates[_i];
  if (rate < 8000) return;
  const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_S16, rate, 2);
  const Samples out = normalize(info, sine(info, static_cast<std::size_t>(rate)));
  ck_assert_uint_eq(out.size(), 16000);
  const Tone tone = find_tone(out);
  ck_assert_double_ge(tone.signal_to_noise, 60);
  ck_assert_double_le(tone.delay, 1.0 / 16000);
}
END_TEST

START_TEST(sine_survives_every_format) {
  for (int f = GST_AUDIO_FORMAT_S8; f <= GST_AUDIO_FORMAT_F64BE; f++) {
    const auto format = static_cast<GstAudioFormat>(f);
    for (const int rate : {16000, 44100}) {
      const GstAudioInfo info = make_info(format, rate, 2);
      const Tone tone = find_tone(normalize(info, sine(info, static_cast<std::size_t>(rate))));
      const double bound = info.finfo->depth == 8 ? 35 : 60;
      ck_assert_msg(tone.signal_to_noise >= bound, "%s at %d: %g dB", info.finfo->name, rate,
                    tone.signal_to_noise);
    }
  }
}
END_TEST

START_TEST(target_format_passes_unchanged) {
  const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_S16, 16000, 1);
  const Bytes data = noise(info, 16001, 7);
  Samples expected(16001);
  std::memcpy(expected.data(), data.data(), data.size());
  ck_assert(normalize_in_parts(info, data, 8, 700) == expected);
}
END_TEST

START_TEST(planar_equals_interleaved) {
  for (const GstAudioFormat format :
       {GST_AUDIO_FORMAT_S16, GST_AUDIO_FORMAT_F32, GST_AUDIO_FORMAT_S24}) {
    const GstAudioInfo interleaved = make_info(format, 48000, 2);
    const GstAudioInfo planar = make_info(format, 48000, 2, true, GST_AUDIO_LAYOUT_NON_INTERLEAVED);
    const Bytes data = noise(interleaved, 9001, 9);
    for (const std::size_t padding : {0, 64}) {
      AudioNormalizer normalizer;
      configured(normalizer, planar);
      Samples out;
      ck_assert(push(normalizer, planar_buffer(planar, data, padding), out).ok());
      normalizer.flush(out);
      ck_assert(out == normalize(interleaved, data));
    }
  }
}
END_TEST

START_TEST(a_part_of_a_buffer) {
  for (const GstAudioLayout layout :
       {GST_AUDIO_LAYOUT_INTERLEAVED, GST_AUDIO_LAYOUT_NON_INTERLEAVED}) {
    const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_S16, 48000, 2, true, layout);
    const Bytes data = noise(info, 5000, 10);
    AudioNormalizer normalizer;
    configured(normalizer, info);
    GstBuffer* buffer = layout == GST_AUDIO_LAYOUT_INTERLEAVED ? wrap(info, data, 0, 5000)
                                                               : planar_buffer(info, data, 0);
    Samples out;
    ck_assert(normalizer.push(buffer, out, 0, 1234).ok());
    ck_assert(normalizer.push(buffer, out, 1234).ok());
    ck_assert(normalizer.push(buffer, out, 5000).ok());
    ck_assert(normalizer.push(buffer, out, 6000, 10).ok());
    ck_assert_uint_eq(normalizer.frames_in(), 5000);
    normalizer.flush(out);
    gst_buffer_unref(buffer);
    ck_assert(out == normalize(make_info(GST_AUDIO_FORMAT_S16, 48000, 2), data));
  }
}
END_TEST

START_TEST(foreign_buffers_are_refused) {
  const GstAudioInfo interleaved = make_info(GST_AUDIO_FORMAT_S16, 48000, 2);
  const GstAudioInfo planar =
      make_info(GST_AUDIO_FORMAT_S16, 48000, 2, true, GST_AUDIO_LAYOUT_NON_INTERLEAVED);
  const Bytes data = noise(interleaved, 100, 11);
  AudioNormalizer normalizer;
  Samples out;
  configured(normalizer, interleaved);
  ck_assert(!push(normalizer, planar_buffer(planar, data, 0), out).ok());
  configured(normalizer, planar);
  ck_assert(!push(normalizer, wrap(interleaved, data, 0, 100), out).ok());
  const GstAudioInfo other =
      make_info(GST_AUDIO_FORMAT_F32, 48000, 2, true, GST_AUDIO_LAYOUT_NON_INTERLEAVED);
  ck_assert(!push(normalizer, planar_buffer(other, noise(other, 10, 1), 0), out).ok());
  ck_assert_uint_eq(out.size(), 0);
  ck_assert_uint_eq(normalizer.frames_in(), 0);
}
END_TEST

START_TEST(silence_is_silent_in_every_format) {
  for (int f = GST_AUDIO_FORMAT_S8; f <= GST_AUDIO_FORMAT_F64BE; f++) {
    AudioNormalizer normalizer;
    configured(normalizer, make_info(static_cast<GstAudioFormat>(f), 44100, 2));
    Samples out;
    normalizer.push_silence(44100, out);
    normalizer.flush(out);
    ck_assert(out == Samples(16000, 0));
  }
}
END_TEST

START_TEST(silence_keeps_its_place_between_sounds) {
  const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_U8, 8000, 1);
  const Bytes data = noise(info, 4000, 12);
  Bytes joined = data;
  joined.insert(joined.end(), 3000, 0x80);
  joined.insert(joined.end(), data.begin(), data.end());
  AudioNormalizer normalizer;
  configured(normalizer, info);
  Samples out;
  ck_assert(push(normalizer, wrap(info, data, 0, 4000), out).ok());
  normalizer.push_silence(3000, out);
  ck_assert(push(normalizer, wrap(info, data, 0, 4000), out).ok());
  normalizer.flush(out);
  ck_assert(out == normalize(info, joined));
}
END_TEST

START_TEST(unpositioned_channels_all_count) {
  for (const int channels : {2, 6, 63}) {
    const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_S16, 16000, channels, false);
    const Bytes last_only =
        render(info, 100, [&](std::size_t, int c) { return c == channels - 1 ? 0.5 : 0.0; });
    const int part = channels == 2 ? 16384 * 3 / 8 : 16384 / channels;
    for (const std::int16_t sample : normalize(info, last_only))
      ck_assert_int_le(std::abs(sample - part), 12);
    ck_assert_double_ge(find_tone(normalize(info, sine(info, 16000))).signal_to_noise, 60);
  }
}
END_TEST

// Of one microphone that is off, and of one that is wired the wrong way round.
START_TEST(stereo_does_not_cancel_out) {
  for (const bool positioned : {false, true}) {
    for (const GstAudioFormat format : {GST_AUDIO_FORMAT_S16, GST_AUDIO_FORMAT_F32}) {
      const GstAudioInfo info = make_info(format, 16000, 2, positioned);
      const struct {
        double left;
        double right;
        int expected;
      } cases[] = {{0.5, 0.5, 16384}, {0.5, 0, 10240}, {0, 0.5, 6144}, {0.5, -0.5, 4096}};
      for (const auto& one : cases) {
        const Bytes sound =
            render(info, 100, [&](std::size_t, int c) { return c == 0 ? one.left : one.right; });
        for (const std::int16_t sample : normalize(info, sound))
          ck_assert_int_le(std::abs(sample - one.expected), 1);
      }
    }
  }
}
END_TEST

START_TEST(positioned_surround_is_mixed) {
  for (const int channels : {3, 4, 5, 6, 7, 8}) {
    const GstAudioInfo info = make_info(GST_AUDIO_FORMAT_F32, 48000, channels);
    const Samples out = normalize(info, sine(info, 48000));
    double peak = 0;
    for (const std::int16_t sample : out) peak = std::max(peak, std::abs(sample / 32768.0));
    ck_assert_double_ge(peak, 0.4);
    ck_assert_double_le(peak, 0.6);
  }
}
END_TEST

START_TEST(every_format_of_the_template_is_taken) {
  GstCaps* caps = gst_caps_from_string(AudioNormalizer::kCaps);
  ck_assert(caps != nullptr);
  for (int f = GST_AUDIO_FORMAT_S8; f <= GST_AUDIO_FORMAT_F64BE; f++) {
    for (const int rate : {1, 768000}) {
      for (const GstAudioLayout layout :
           {GST_AUDIO_LAYOUT_INTERLEAVED, GST_AUDIO_LAYOUT_NON_INTERLEAVED}) {
        const GstAudioInfo info =
            make_info(static_cast<GstAudioFormat>(f), rate, 63, false, layout);
        GstCaps* one = gst_audio_info_to_caps(&info);
        ck_assert(gst_caps_is_subset(one, caps));
        gst_caps_unref(one);
        AudioNormalizer normalizer;
        configured(normalizer, info);
      }
    }
  }
  gst_caps_unref(caps);
}
END_TEST

START_TEST(too_many_channels_are_refused) {
  AudioNormalizer normalizer;
  ck_assert(!normalizer.configure(make_info(GST_AUDIO_FORMAT_S16, 48000, 64, false)).ok());
  ck_assert(!normalizer.configured());
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("audio_normalizer");
  TCase* cases = tcase_create("audio_normalizer");
  tcase_add_checked_fixture(cases, setup, nullptr);
  const int rates = G_N_ELEMENTS(kRates);
  tcase_add_loop_test(cases, flushed_count_is_exact, 0, rates);
  tcase_add_loop_test(cases, flush_gives_the_sound_that_the_converter_held, 0, rates);
  tcase_add_test(cases, no_frame_is_lost_over_an_hour);
  tcase_add_loop_test(cases, partition_does_not_matter, 0, rates);
  tcase_add_test(cases, single_frames_in_give_the_same);
  tcase_add_loop_test(cases, flush_and_reset_start_afresh, 0, rates);
  tcase_add_test(cases, flush_of_nothing_gives_nothing);
  tcase_add_loop_test(cases, sine_survives_every_rate, 0, rates);
  tcase_add_test(cases, sine_survives_every_format);
  tcase_add_test(cases, target_format_passes_unchanged);
  tcase_add_test(cases, planar_equals_interleaved);
  tcase_add_test(cases, a_part_of_a_buffer);
  tcase_add_test(cases, foreign_buffers_are_refused);
  tcase_add_test(cases, silence_is_silent_in_every_format);
  tcase_add_test(cases, silence_keeps_its_place_between_sounds);
  tcase_add_test(cases, unpositioned_channels_all_count);
  tcase_add_test(cases, stereo_does_not_cancel_out);
  tcase_add_test(cases, positioned_surround_is_mixed);
  tcase_add_test(cases, every_format_of_the_template_is_taken);
  tcase_add_test(cases, too_many_channels_are_refused);
  suite_add_tcase(suite, cases);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
