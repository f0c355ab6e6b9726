// The element's properties in one place: name, text, storage, range and when they take effect.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "sink_settings.h"

namespace transcribe {

// The kinds of properties: where the value lies, and its range.
struct Text {
  std::string SinkSettings::*member;
  // What reading gives, where that is not the value itself; `fallback` is the default it shows.
  std::string (*read)(const SinkSettings&) = nullptr;
  const char* fallback = nullptr;
};
struct Secret {
  std::string SinkSettings::*member;
};
struct Texts {
  std::vector<std::string> SinkSettings::*member;
};
struct Fields {
  std::shared_ptr<const GstStructure> SinkSettings::*member;
};
struct Switch {
  bool SinkSettings::*member;
};
struct Count {
  unsigned SinkSettings::*member;
  unsigned minimum;
  unsigned maximum;
};
struct SignedCount {
  int SinkSettings::*member;
  int minimum;
  int maximum;
};
struct Real {
  double SinkSettings::*member;
  double minimum;
  double maximum;
};
struct Duration {
  std::uint64_t SinkSettings::*member;
  std::uint64_t minimum;
  std::uint64_t maximum;
};
struct Choice {
  GType (*type)();
  int (*get)(const SinkSettings&);
  void (*set)(SinkSettings&, int);
};
struct Flags {
  GType (*type)();
  unsigned SinkSettings::*member;
};
using Kind = std::variant<Text, Secret, Texts, Fields, Switch, Count, SignedCount, Real, Duration,
                          Choice, Flags>;

enum class Effect { kStart, kPlaying };

struct Property {
  const char* name;
  const char* nick;
  const char* blurb;  // without the sentence on when it takes effect
  Kind kind;
  Effect effect = Effect::kStart;
};

// The id of a property is kPropertyStats + 1 + its place here.
std::span<const Property> sink_properties();

}  // namespace transcribe
