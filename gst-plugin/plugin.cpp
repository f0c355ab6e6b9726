// What GStreamer loads. The element lies in a library of its own beside this one, because libsoup 3
// aborts the process while it is loaded, if it finds libsoup 2 there: somebody has to look first.
#include <dlfcn.h>
#include <gst/gst.h>

#include "base/libsoup2.h"

#define GST_CAT_DEFAULT openaitranscribe_plugin_debug
GST_DEBUG_CATEGORY_STATIC(openaitranscribe_plugin_debug);

static gboolean refuse(const char* text) {
  GST_ERROR("%s", text);
  g_warning("%s", text);
  return FALSE;
}

// Stays loaded for good, as plugins do.
static void* load_module() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&refuse), &self) == 0) return nullptr;
  char* directory = g_path_get_dirname(self.dli_fname);
  char* path = g_build_filename(directory, MODULE_FILE, nullptr);
  void* module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  g_free(path);
  g_free(directory);
  return module;
}

static gboolean plugin_init(GstPlugin* plugin) noexcept {
  GST_DEBUG_CATEGORY_INIT(openaitranscribe_plugin_debug, "openaitranscribe-plugin", 0,
                          "Loading of the openaitranscribe plugin");
  if (transcribe::libsoup2_is_loaded()) {
    return refuse(
        "openaitranscribesink is not available in this process: libsoup 2 is loaded, and the "
        "plugin needs libsoup 3, which can't work beside it. Use it in a process of its own, or "
        "leave out what brings libsoup 2 (for example WebKitGTK 4.0)");
  }
  void* module = load_module();
  if (module == nullptr) return refuse(dlerror());
  const auto add =
      reinterpret_cast<gboolean (*)(GstPlugin*)>(dlsym(module, "openaitranscribe_register"));
  return add != nullptr ? add(plugin) : refuse(dlerror());
}

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, openaitranscribe,
                  "Speech to text with OpenAI-compatible services", plugin_init, VERSION, "LGPL",
                  PACKAGE, "Unknown package origin")
