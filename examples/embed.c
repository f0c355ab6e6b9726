/* The smallest application on openaitranscribesink: prints the text of MEDIA as it comes.
 *
 *   cc embed.c -o embed $(pkg-config --cflags --libs gstreamer-1.0)
 *   OPENAI_API_KEY=... ./embed talk.ogg
 */
#include <gst/gst.h>
#include <stdio.h>

static void print_text(const GstStructure *message) {
  GstClockTime start = 0;
  if (!gst_structure_has_name(message, "openaitranscribe/text")) return;
  gst_structure_get_clock_time(message, "timestamp", &start);
  printf("%.1f s: %s\n", (double)start / GST_SECOND, gst_structure_get_string(message, "text"));
  fflush(stdout);
}

static void print_error(GstMessage *message) {
  GError *error = NULL;
  gst_message_parse_error(message, &error, NULL);
  fprintf(stderr, "%s\n", error->message);
  g_error_free(error);
}

int main(int argc, char **argv) {
  gst_init(&argc, &argv);
  if (argc != 2) {
    fprintf(stderr, "usage: %s MEDIA\n", argv[0]);
    return 2;
  }
  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch(
      "uridecodebin name=media caps=audio/x-raw expose-all-streams=false ! openaitranscribesink",
      &error);
  if (error) {
    const gboolean missing =
        g_error_matches(error, GST_PARSE_ERROR, GST_PARSE_ERROR_NO_SUCH_ELEMENT);
    fprintf(stderr, "%s%s\n", error->message, missing ? "; set GST_PLUGIN_PATH" : "");
    return 1;
  }
  GstElement *media = gst_bin_get_by_name(GST_BIN(pipeline), "media");
  gchar *uri = gst_uri_is_valid(argv[1]) ? g_strdup(argv[1]) : gst_filename_to_uri(argv[1], NULL);
  g_object_set(media, "uri", uri, NULL);
  g_free(uri);
  gst_object_unref(media);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);

  GstBus *bus = gst_element_get_bus(pipeline);
  GstMessageType type = GST_MESSAGE_UNKNOWN;
  while (type != GST_MESSAGE_EOS && type != GST_MESSAGE_ERROR) {
    GstMessage *message = gst_bus_timed_pop_filtered(
        bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_ELEMENT | GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
    type = GST_MESSAGE_TYPE(message);
    if (type == GST_MESSAGE_ELEMENT) print_text(gst_message_get_structure(message));
    if (type == GST_MESSAGE_ERROR) print_error(message);
    gst_message_unref(message);
  }
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(bus);
  gst_object_unref(pipeline);
  return type == GST_MESSAGE_EOS ? 0 : 1;
}
