#include <gst/gst.h>

#include "gstopenaitranscribesink.h"
#include "http/client.h"

#define GST_CAT_DEFAULT openaitranscribe_plugin_debug
GST_DEBUG_CATEGORY_STATIC(openaitranscribe_plugin_debug);

static gboolean plugin_init(GstPlugin* plugin) noexcept {
  GST_DEBUG_CATEGORY_INIT(openaitranscribe_plugin_debug, "openaitranscribe-plugin", 0,
                          "Loading of the openaitranscribe plugin");
  if (transcribe::libsoup2_is_loaded()) {
    const char* text =
        "openaitranscribesink is not available in this process: libsoup 2 is loaded, and the "
        "plugin needs libsoup 3, which can't work beside it. Use it in a process of its own, or "
        "leave out what brings libsoup 2 (for example WebKitGTK 4.0)";
    GST_ERROR("%s", text);
    g_warning("%s", text);
    return FALSE;
  }
  return GST_ELEMENT_REGISTER(openaitranscribesink, plugin);
}

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, openaitranscribe,
                  "Speech to text with OpenAI-compatible services", plugin_init, VERSION, "LGPL",
                  PACKAGE, "Unknown package origin")
