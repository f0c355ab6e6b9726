#include <gst/gst.h>

#include <iterator>

#include "base/glib_ptr.h"
#include "sink_property_table.h"
#include "sink_settings.h"

namespace transcribe {
namespace {

constexpr guint kFirstId = kPropertyStats + 1;

template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

const Property* find_property(guint id) {
  const auto properties = sink_properties();
  return id >= kFirstId && id - kFirstId < properties.size() ? &properties[id - kFirstId] : nullptr;
}

GParamFlags flags_of(const Property& property) {
  int flags = G_PARAM_STATIC_STRINGS | G_PARAM_WRITABLE;
  if (!std::holds_alternative<Secret>(property.kind)) flags |= G_PARAM_READABLE;
  flags |=
      property.effect == Effect::kPlaying ? GST_PARAM_MUTABLE_PLAYING : GST_PARAM_MUTABLE_READY;
  return GParamFlags(flags);
}

const char* blurb_of(const Property& property) {
  const char* effect = property.effect == Effect::kPlaying
                           ? "Takes effect at once, also while playing."
                           : "Takes effect at the next start.";
  const CharPtr text(g_strdup_printf("%s. %s", property.blurb, effect));
  return g_intern_string(text.get());
}

GParamSpec* make_spec(const Property& property) {
  const SinkSettings defaults;
  const char* name = property.name;
  const char* nick = property.nick;
  const char* blurb = blurb_of(property);
  const GParamFlags flags = flags_of(property);
  return std::visit(
      Overloaded{
          [&](const Text& text) {
            const std::string& value = defaults.*text.member;
            return g_param_spec_string(name, nick, blurb,
                                       value.empty() ? text.fallback : value.c_str(), flags);
          },
          [&](const Secret&) { return g_param_spec_string(name, nick, blurb, nullptr, flags); },
          // An element spec would blank elements of other types instead of converting them.
          [&](const Texts&) { return gst_param_spec_array(name, nick, blurb, nullptr, flags); },
          [&](const Fields&) {
            return g_param_spec_boxed(name, nick, blurb, GST_TYPE_STRUCTURE, flags);
          },
          [&](const Switch& kind) {
            return g_param_spec_boolean(name, nick, blurb, defaults.*kind.member, flags);
          },
          [&](const Count& kind) {
            return g_param_spec_uint(name, nick, blurb, kind.minimum, kind.maximum,
                                     defaults.*kind.member, flags);
          },
          [&](const SignedCount& kind) {
            return g_param_spec_int(name, nick, blurb, kind.minimum, kind.maximum,
                                    defaults.*kind.member, flags);
          },
          [&](const Real& kind) {
            return g_param_spec_double(name, nick, blurb, kind.minimum, kind.maximum,
                                       defaults.*kind.member, flags);
          },
          [&](const Duration& kind) {
            return g_param_spec_uint64(name, nick, blurb, kind.minimum, kind.maximum,
                                       defaults.*kind.member, flags);
          },
          [&](const Choice& kind) {
            return g_param_spec_enum(name, nick, blurb, kind.type(), kind.get(defaults), flags);
          },
          [&](const Flags& kind) {
            return g_param_spec_flags(name, nick, blurb, kind.type(), defaults.*kind.member, flags);
          },
      },
      property.kind);
}

std::string string_or(const GValue* value, const std::string& fallback) {
  const char* text = g_value_get_string(value);
  return text ? text : fallback;
}

std::vector<std::string> to_strings(const GValue* array) {
  std::vector<std::string> strings;
  GValue text = G_VALUE_INIT;
  g_value_init(&text, G_TYPE_STRING);
  for (guint i = 0; i < gst_value_array_get_size(array); i++) {
    if (g_value_transform(gst_value_array_get_value(array, i), &text) && g_value_get_string(&text))
      strings.emplace_back(g_value_get_string(&text));
  }
  g_value_unset(&text);
  return strings;
}

void from_strings(const std::vector<std::string>& strings, GValue* array) {
  for (const std::string& string : strings) {
    GValue text = G_VALUE_INIT;
    g_value_init(&text, G_TYPE_STRING);
    g_value_set_string(&text, string.c_str());
    gst_value_array_append_and_take_value(array, &text);
  }
}

void set_string(GValue* value, const std::string& text) {
  g_value_set_string(value, text.empty() ? nullptr : text.c_str());
}

}  // namespace

void install_sink_properties(GObjectClass* klass) {
  g_object_class_install_property(
      klass, kPropertyStats,
      g_param_spec_boxed("stats", "Statistics",
                         "Counters of the base sink and of the job; the same fields in every state",
                         GST_TYPE_STRUCTURE,
                         GParamFlags(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
  guint id = kFirstId;
  for (const Property& property : sink_properties())
    g_object_class_install_property(klass, id++, make_spec(property));
}

bool set_sink_property(SinkSettings& settings, guint id, const GValue* value) {
  const Property* property = find_property(id);
  if (!property) return false;
  std::visit(Overloaded{
                 [&](const Text& kind) {
                   settings.*kind.member = string_or(value, SinkSettings().*kind.member);
                 },
                 [&](const Secret& kind) { settings.*kind.member = string_or(value, {}); },
                 [&](const Texts& kind) { settings.*kind.member = to_strings(value); },
                 [&](const Fields& kind) {
                   const GstStructure* fields = gst_value_get_structure(value);
                   settings.*kind.member = std::shared_ptr<const GstStructure>(
                       fields ? gst_structure_copy(fields) : nullptr,
                       [](const GstStructure* structure) {
                         if (structure) gst_structure_free(const_cast<GstStructure*>(structure));
                       });
                 },
                 [&](const Switch& kind) { settings.*kind.member = g_value_get_boolean(value); },
                 [&](const Count& kind) { settings.*kind.member = g_value_get_uint(value); },
                 [&](const SignedCount& kind) { settings.*kind.member = g_value_get_int(value); },
                 [&](const Real& kind) { settings.*kind.member = g_value_get_double(value); },
                 [&](const Duration& kind) { settings.*kind.member = g_value_get_uint64(value); },
                 [&](const Choice& kind) { kind.set(settings, g_value_get_enum(value)); },
                 [&](const Flags& kind) { settings.*kind.member = g_value_get_flags(value); },
             },
             property->kind);
  return true;
}

bool get_sink_property(const SinkSettings& settings, guint id, GValue* value) {
  const Property* property = find_property(id);
  if (!property || std::holds_alternative<Secret>(property->kind)) return false;
  std::visit(Overloaded{
                 [&](const Text& kind) {
                   set_string(value, kind.read ? kind.read(settings) : settings.*kind.member);
                 },
                 [](const Secret&) {},
                 [&](const Texts& kind) { from_strings(settings.*kind.member, value); },
                 [&](const Fields& kind) {
                   gst_value_set_structure(value, (settings.*kind.member).get());
                 },
                 [&](const Switch& kind) { g_value_set_boolean(value, settings.*kind.member); },
                 [&](const Count& kind) { g_value_set_uint(value, settings.*kind.member); },
                 [&](const SignedCount& kind) { g_value_set_int(value, settings.*kind.member); },
                 [&](const Real& kind) { g_value_set_double(value, settings.*kind.member); },
                 [&](const Duration& kind) { g_value_set_uint64(value, settings.*kind.member); },
                 [&](const Choice& kind) { g_value_set_enum(value, kind.get(settings)); },
                 [&](const Flags& kind) { g_value_set_flags(value, settings.*kind.member); },
             },
             property->kind);
  return true;
}

bool is_live_property(guint id) {
  const Property* property = find_property(id);
  return property && property->effect == Effect::kPlaying;
}

}  // namespace transcribe
