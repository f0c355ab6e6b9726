#include "audio_normalizer.h"

#include <algorithm>
#include <array>

#include "audio/chunk.h"
#include "base/glib_ptr.h"

namespace transcribe {
namespace {

constexpr std::uint64_t kMaxBlockFrames = 4096;

using ConverterPtr = Handle<GstAudioConverter, gst_audio_converter_free>;

GstAudioInfo output_info() {
  GstAudioInfo info;
  gst_audio_info_init(&info);
  gst_audio_info_set_format(&info, GST_AUDIO_FORMAT_S16, kSampleRate, 1, nullptr);
  return info;
}

// How much of each channel; empty: the converter knows, by their positions.
std::vector<float> channel_weights(const GstAudioInfo& info) {
  const auto channels = static_cast<std::size_t>(info.channels);
  const bool unpositioned = GST_AUDIO_INFO_IS_UNPOSITIONED(&info);
  // In unequal parts, or speech of which one channel is inverted would cancel out. These are exact
  // in the converter's fixed point.
  const bool stereo =
      channels == 2 &&
      (unpositioned || (info.position[0] == GST_AUDIO_CHANNEL_POSITION_FRONT_LEFT &&
                        info.position[1] == GST_AUDIO_CHANNEL_POSITION_FRONT_RIGHT));
  if (stereo) return {0.625f, 0.375f};
  if (!unpositioned || channels < 2) return {};
  return std::vector<float>(channels, 1.0f / static_cast<float>(channels));
}

void set_mix(GstStructure* options, const std::vector<float>& weights) {
  GValue row = G_VALUE_INIT;
  g_value_init(&row, GST_TYPE_ARRAY);
  for (const float part : weights) {
    GValue weight = G_VALUE_INIT;
    g_value_init(&weight, G_TYPE_FLOAT);
    g_value_set_float(&weight, part);
    gst_value_array_append_and_take_value(&row, &weight);
  }
  GValue matrix = G_VALUE_INIT;
  g_value_init(&matrix, GST_TYPE_ARRAY);
  gst_value_array_append_and_take_value(&matrix, &row);
  gst_structure_take_value(options, GST_AUDIO_CONVERTER_OPT_MIX_MATRIX, &matrix);
}

// Without dither: equal input gives equal output.
ConverterPtr make_converter(const GstAudioInfo& info) {
  // GStreamer 1.22 asserts, then crashes, above this.
  if (info.channels >= 64) return nullptr;
  GstAudioInfo input = info;
  GstAudioInfo output = output_info();
  GstStructure* options =
      gst_structure_new("options", GST_AUDIO_CONVERTER_OPT_DITHER_METHOD,
                        GST_TYPE_AUDIO_DITHER_METHOD, GST_AUDIO_DITHER_NONE, nullptr);
  if (const auto weights = channel_weights(input); !weights.empty()) set_mix(options, weights);
  return ConverterPtr(
      gst_audio_converter_new(GST_AUDIO_CONVERTER_FLAG_NONE, &input, &output, options));
}

class MappedAudio {
 public:
  MappedAudio(const GstAudioInfo& info, GstBuffer* buffer)
      : mapped_(gst_audio_buffer_map(&audio_, &info, buffer, GST_MAP_READ)) {}
  ~MappedAudio() {
    if (mapped_) gst_audio_buffer_unmap(&audio_);
  }
  MappedAudio(const MappedAudio&) = delete;
  MappedAudio& operator=(const MappedAudio&) = delete;
  explicit operator bool() const { return mapped_; }
  const GstAudioBuffer* operator->() const { return &audio_; }

 private:
  GstAudioBuffer audio_;
  bool mapped_;
};

bool same_layout(const GstAudioInfo& a, const GstAudioInfo& b) {
  return a.finfo == b.finfo && a.layout == b.layout && a.channels == b.channels;
}

}  // namespace

struct AudioNormalizer::Private {
  GstAudioInfo info;
  ConverterPtr converter;
  bool started = false;                         // the converter has been fed
  std::vector<std::vector<std::uint8_t>> head;  // per plane: what waits for the start
  std::uint64_t frames_in = 0;
  std::uint64_t frames_out = 0;
  std::vector<std::uint8_t> silence;  // a block of it

  std::size_t plane_count() const {
    return info.layout == GST_AUDIO_LAYOUT_INTERLEAVED ? 1
                                                       : static_cast<std::size_t>(info.channels);
  }
  std::size_t frame_bytes() const { return static_cast<std::size_t>(info.bpf) / plane_count(); }
  // At most a second, so that low rates do not blow up.
  std::uint64_t block_frames() const {
    return std::min<std::uint64_t>(kMaxBlockFrames, static_cast<std::uint64_t>(info.rate));
  }

  bool restart() {
    frames_in = 0;
    frames_out = 0;
    started = false;
    head.assign(plane_count(), {});
    // Not gst_audio_converter_reset(): it keeps the resampler's phase.
    converter = make_converter(info);
    return converter != nullptr;
  }

  // `data`: one pointer per plane, `offset` and `frames` in frames of it.
  bool convert(gpointer const* data, std::uint64_t offset, std::uint64_t frames,
               std::vector<std::int16_t>& out) {
    std::vector<gpointer> planes(plane_count());
    for (std::size_t i = 0; i < planes.size(); i++)
      planes[i] = static_cast<std::uint8_t*>(data[i]) + offset * frame_bytes();
    // GStreamer 1.22 crashes when the first call is too short for a frame of output.
    if (!started) {
      for (std::size_t i = 0; i < planes.size(); i++) {
        const auto* begin = static_cast<const std::uint8_t*>(planes[i]);
        head[i].insert(head[i].end(), begin, begin + frames * frame_bytes());
        planes[i] = head[i].data();
      }
      frames = head[0].size() / frame_bytes();
      if (gst_audio_converter_get_out_frames(converter.get(), frames) == 0) return true;
      started = true;
    }
    const std::size_t produced = gst_audio_converter_get_out_frames(converter.get(), frames);
    const std::size_t before = out.size();
    out.resize(before + produced);
    gpointer target[] = {out.data() + before};
    const bool ok = gst_audio_converter_samples(converter.get(), GST_AUDIO_CONVERTER_FLAG_NONE,
                                                planes.data(), frames, target, produced);
    frames_out += produced;
    return ok;
  }

  void convert_silence(std::uint64_t frames, std::vector<std::int16_t>& out) {
    if (silence.empty()) {
      silence.resize(block_frames() * static_cast<std::size_t>(info.bpf));
      gst_audio_format_info_fill_silence(info.finfo, silence.data(), silence.size());
    }
    const std::vector<gpointer> data(plane_count(), silence.data());
    while (frames > 0) {
      const std::uint64_t block = std::min(frames, block_frames());
      convert(data.data(), 0, block, out);
      frames -= block;
    }
  }
};

const char* const AudioNormalizer::kCaps = "audio/x-raw, format=(string)" GST_AUDIO_FORMATS_ALL
                                           ", rate=(int)[1, 768000], channels=(int)[1, 63], "
                                           "layout=(string){ interleaved, non-interleaved }";

AudioNormalizer::AudioNormalizer() : d_(std::make_unique<Private>()) {
  gst_audio_info_init(&d_->info);
}
AudioNormalizer::~AudioNormalizer() = default;

Status AudioNormalizer::configure(const GstAudioInfo& info) {
  d_->info = info;
  d_->silence.clear();
  if (d_->restart()) return Success{};
  return Error{
      "audio of this format can't be converted to 16 kHz mono; put audioconvert ! audioresample in "
      "front"};
}

bool AudioNormalizer::configured() const { return d_->converter != nullptr; }
const GstAudioInfo& AudioNormalizer::info() const { return d_->info; }
std::uint64_t AudioNormalizer::frames_in() const { return d_->frames_in; }

Status AudioNormalizer::push(GstBuffer* buffer, std::vector<std::int16_t>& out, std::uint64_t skip,
                             std::uint64_t frames) {
  const GstAudioMeta* meta = gst_buffer_get_audio_meta(buffer);
  const bool fits =
      meta ? same_layout(meta->info, d_->info) : d_->info.layout == GST_AUDIO_LAYOUT_INTERLEAVED;
  if (!fits) return Error{"the buffer does not have the audio format that its caps announce"};
  MappedAudio audio(d_->info, buffer);
  if (!audio) return Error{"the buffer's audio can't be read (truncated or not mappable)"};

  const std::uint64_t end =
      std::min<std::uint64_t>(audio->n_samples, skip + std::min(frames, G_MAXUINT64 - skip));
  for (std::uint64_t at = skip; at < end;) {
    const std::uint64_t block = std::min(end - at, d_->block_frames());
    if (!d_->convert(audio->planes, at, block, out)) return Error{"converting the audio failed"};
    d_->frames_in += block;
    at += block;
  }
  return Success{};
}

void AudioNormalizer::push_silence(std::uint64_t frames, std::vector<std::int16_t>& out) {
  d_->convert_silence(frames, out);
  d_->frames_in += frames;
}

void AudioNormalizer::flush(std::vector<std::int16_t>& out) {
  if (!d_->converter || d_->frames_in == 0) return;
  const std::uint64_t due = gst_util_uint64_scale_round(d_->frames_in, kSampleRate,
                                                        static_cast<std::uint64_t>(d_->info.rate));
  while (d_->frames_out < due) {
    const std::size_t needed =
        gst_audio_converter_get_in_frames(d_->converter.get(), due - d_->frames_out);
    d_->convert_silence(std::max<std::size_t>(1, needed), out);
  }
  out.resize(out.size() - (d_->frames_out - due));
  d_->restart();
}

void AudioNormalizer::reset() {
  if (d_->converter && d_->frames_in > 0) d_->restart();
}

}  // namespace transcribe
