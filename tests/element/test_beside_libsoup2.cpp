// In a process that has loaded libsoup 2 the element says so instead of hanging or aborting.
//
// Own processes: the library must come first. Exit code 77: libsoup 2 is not installed.
#include <dlfcn.h>
#include <gst/gst.h>

#include <cstdio>
#include <cstring>
#include <string>

namespace {

bool warned = false;

void on_log(const gchar*, GLogLevelFlags, const gchar* message, gpointer) {
  std::printf("%s\n", message);
  if (std::strstr(message, "libsoup 2") != nullptr) warned = true;
}

int fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  return 1;
}

}  // namespace

// before-plugin: loaded before the plugin is; after-plugin: before NULL→READY.
int main(int argc, char** argv) {
  const std::string when = argc > 1 ? argv[1] : "before-plugin";
  const int scope = argc > 2 && std::strcmp(argv[2], "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL;
  const auto load = [scope] { return dlopen("libsoup-2.4.so.1", RTLD_NOW | scope) != nullptr; };
  if (when == "before-plugin" && !load()) return 77;
  // First: gst_init() may load the plugin already, to register it.
  g_log_set_default_handler(on_log, nullptr);
  gst_init(&argc, &argv);
  GstElement* sink = gst_element_factory_make("openaitranscribesink", nullptr);
  if (sink == nullptr) {
    // The plugin has refused to load, and has said why.
    return when == "before-plugin" && warned ? 0 : fail("no element, and not a word why");
  }
  if (when == "after-plugin" && !load()) return 77;
  GstBus* bus = gst_bus_new();
  gst_element_set_bus(sink, bus);
  const GstStateChangeReturn change = gst_element_set_state(sink, GST_STATE_READY);
  GstMessage* message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
  if (change != GST_STATE_CHANGE_FAILURE || message == nullptr) return fail("it was not refused");
  GError* error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  std::printf("%s\n", error->message);
  if (std::strstr(error->message, "libsoup 2") == nullptr) return fail("the error doesn't say why");
  g_error_free(error);
  gst_message_unref(message);
  gst_element_set_state(sink, GST_STATE_NULL);
  gst_object_unref(bus);
  gst_object_unref(sink);
  return 0;
}
