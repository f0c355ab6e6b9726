// The element's own library; plugin.cpp says why it is one.
#include "gstopenaitranscribesink.h"

extern "C" __attribute__((visibility("default"))) gboolean openaitranscribe_register(
    GstPlugin* plugin) {
  return GST_ELEMENT_REGISTER(openaitranscribesink, plugin);
}
