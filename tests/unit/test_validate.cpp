#include <glib.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "openai/request.h"

#include "check_main.h"

namespace {

using namespace transcribe;

const char* const kKey = "sk-0123456789";
const char* const kLocal = "http://127.0.0.1:8080/v1";

struct Settings {
  ServiceSettings service;
  RequestSettings request;
};
using Change = std::function<void(Settings&)>;

std::string verdict(const Change& change) {
  Settings settings;
  settings.service.api_key = kKey;
  change(settings);
  const Status status = validate(settings.service, settings.request);
  return status.ok() ? std::string() : status.error().message;
}

void accepted(const Change& change) {
  const std::string message = verdict(change);
  ck_assert_msg(message.empty(), "refused: %s", message.c_str());
}

// The message names every property of the list (separated by spaces) and never the key.
void refused(const std::string& names, const Change& change) {
  const std::string message = verdict(change);
  ck_assert_msg(!message.empty(), "accepted: %s", names.c_str());
  ck_assert(message.find(kKey) == std::string::npos);
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = std::min(names.find(' ', begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    ck_assert_msg(message.find(name) != std::string::npos, "'%s' does not name %s", message.c_str(),
                  name.c_str());
    begin = end + 1;
  }
}

START_TEST(defaults_are_fine) {
  accepted([](Settings&) {});
}
END_TEST

START_TEST(key_is_needed_only_where_it_is) {
  refused("api-key OPENAI_API_KEY", [](Settings& s) { s.service.api_key.clear(); });
  refused("api-key auth-scheme", [](Settings& s) {
    s.service.api_key.clear();
    s.service.base_url = kLocal;
    s.service.auth_scheme = AuthScheme::kApiKey;
  });
  accepted([](Settings& s) {
    s.service.api_key.clear();
    s.service.base_url = kLocal;
  });
  accepted([](Settings& s) {
    s.service.api_key.clear();
    s.service.auth_scheme = AuthScheme::kNone;
  });
}
END_TEST

START_TEST(keys_with_odd_characters_are_refused) {
  for (const std::string& key :
       {std::string(kKey) + "\n", " " + std::string(kKey), std::string(kKey) + " ",
        std::string("a\tb"), std::string("a\0b", 3), std::string("k\xC3\xA9y"),
        std::string("a\x7f")}) {
    refused("api-key", [&key](Settings& s) { s.service.api_key = key; });
  }
}
END_TEST

START_TEST(bad_base_urls_are_refused) {
  for (const char* url : {"", "nonsense", "ftp://h/v1", "https://u:p@h/v1"}) {
    refused("base-url", [url](Settings& s) { s.service.base_url = url; });
  }
}
END_TEST

START_TEST(headers_stay_legal) {
  refused("organization", [](Settings& s) { s.service.organization = "a\r\nX: y"; });
  refused("project", [](Settings& s) { s.service.project = "a\n"; });
  for (const char* name : {"", "a b", "a:b", "a\r\nb", "\xC3\xA9"}) {
    refused("extra-headers", [name](Settings& s) { s.service.extra_headers = {{name, "x"}}; });
  }
  refused("extra-headers", [](Settings& s) {
    s.service.extra_headers = {{std::string("a\0b", 3), "x"}};
  });
  refused("extra-headers X-A", [](Settings& s) { s.service.extra_headers = {{"X-A", "a\r\nb"}}; });
  accepted([](Settings& s) { s.service.extra_headers = {{"X-A", "a\tb"}, {"x-b", ""}}; });
}
END_TEST

START_TEST(extra_headers_override_nothing_of_ours) {
  for (const char* name : {"Authorization", "api-KEY", "openai-organization", "OpenAI-Project",
                           "accept", "Content-Type", "content-length", "Host", "Transfer-Encoding",
                           "idempotency-key", "User-Agent", "Connection"}) {
    refused("extra-headers", [name](Settings& s) { s.service.extra_headers = {{name, "x"}}; });
  }
  accepted([](Settings& s) {
    s.service.auth_scheme = AuthScheme::kNone;
    s.service.extra_headers = {{"Authorization", "Token abc"}};
  });
}
END_TEST

START_TEST(languages_exclude_each_other) {
  refused("language-code languages", [](Settings& s) {
    s.request.language = "en";
    s.request.languages = {"en", "fr"};
  });
  accepted([](Settings& s) { s.request.languages = {"en", "fr"}; });
  accepted([](Settings& s) { s.request.language = "en"; });
  refused("languages", [](Settings& s) { s.request.languages = {"en", ""}; });
}
END_TEST

START_TEST(keywords_are_plain_lines) {
  for (const char* keyword : {"<b>", "a>b", "a\rb", "a\nb", ""}) {
    refused("keywords", [keyword](Settings& s) { s.request.keywords = {"good", keyword}; });
  }
  accepted([](Settings& s) { s.request.keywords = {"GStreamer", "Zo\xC3\xAB & Co."}; });
}
END_TEST

START_TEST(texts_are_utf8) {
  refused("model", [](Settings& s) { s.request.model = "\xff"; });
  refused("prompt", [](Settings& s) { s.request.prompt = "\xff"; });
  refused("language-code", [](Settings& s) { s.request.language = "\xff"; });
  refused("languages", [](Settings& s) { s.request.languages = {"\xff"}; });
  refused("keywords", [](Settings& s) { s.request.keywords = {"\xff"}; });
  refused("prompt", [](Settings& s) { s.request.prompt = std::string("a\0b", 3); });
  accepted([](Settings& s) { s.request.prompt = "two\nlines <x>"; });
}
END_TEST

START_TEST(model_is_free_but_not_empty) {
  refused("model", [](Settings& s) { s.request.model.clear(); });
  accepted([](Settings& s) { s.request.model = "Systran/faster-whisper-small"; });
}
END_TEST

START_TEST(temperature_has_bounds) {
  for (const double value : {-0.01, 1.01, -1.0, std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity()}) {
    refused("temperature", [value](Settings& s) { s.request.temperature = value; });
  }
  for (const double value : {0.0, 0.5, 1.0}) {
    accepted([value](Settings& s) { s.request.temperature = value; });
  }
}
END_TEST

START_TEST(formats_must_fit) {
  for (const auto format : {ResponseFormat::kJson, ResponseFormat::kDiarizedJson}) {
    refused("timestamp-granularities response-format", [format](Settings& s) {
      s.request.response_format = format;
      s.request.word_timestamps = true;
    });
    refused("timestamp-granularities response-format", [format](Settings& s) {
      s.request.response_format = format;
      s.request.segment_timestamps = true;
    });
  }
  for (const auto format : {ResponseFormat::kAuto, ResponseFormat::kVerboseJson}) {
    accepted([format](Settings& s) {
      s.request.response_format = format;
      s.request.word_timestamps = true;
    });
  }
  for (const auto format : {ResponseFormat::kVerboseJson, ResponseFormat::kDiarizedJson}) {
    refused("logprobs response-format", [format](Settings& s) {
      s.request.response_format = format;
      s.request.logprobs = true;
    });
  }
  refused("logprobs timestamp-granularities", [](Settings& s) {
    s.request.segment_timestamps = true;
    s.request.logprobs = true;
  });
  accepted([](Settings& s) { s.request.logprobs = true; });
  refused("prompt diarized-json", [](Settings& s) {
    s.request.response_format = ResponseFormat::kDiarizedJson;
    s.request.prompt = "names";
  });
}
END_TEST

START_TEST(translations_take_less) {
  const auto translating = [](const Change& change) {
    return [change](Settings& s) {
      s.request.task = Task::kTranslate;
      change(s);
    };
  };
  refused("translate language-code", translating([](Settings& s) { s.request.language = "de"; }));
  refused("translate languages", translating([](Settings& s) { s.request.languages = {"de"}; }));
  refused("translate keywords", translating([](Settings& s) { s.request.keywords = {"x"}; }));
  refused("translate timestamp-granularities",
          translating([](Settings& s) { s.request.word_timestamps = true; }));
  refused("translate logprobs", translating([](Settings& s) { s.request.logprobs = true; }));
  refused("translate chunking-strategy",
          translating([](Settings& s) { s.request.chunking_strategy = ChunkingStrategy::kAuto; }));
  refused("translate diarized-json", translating([](Settings& s) {
            s.request.response_format = ResponseFormat::kDiarizedJson;
          }));
  accepted(translating([](Settings& s) {
    s.request.prompt = "x";
    s.request.temperature = 0.5;
    s.request.response_format = ResponseFormat::kVerboseJson;
  }));
}
END_TEST

START_TEST(extra_fields_override_nothing_of_ours) {
  const auto with = [](const char* name) {
    return [name](Settings& s) { s.request.extra_fields = {{"hotwords", "x"}, {name, "x"}}; };
  };
  for (const char* name :
       {"file", "model", "language", "languages[]", "languages", "keywords[]", "prompt",
        "response_format", "temperature", "stream", "timestamp_granularities[]"}) {
    refused("extra-fields " + std::string(name), with(name));
  }
  refused("language-code", with("language"));
  for (const char* name : {"vad", "known_speaker_names[]", "include[]", "chunking_strategy[type]",
                           "temperature_inc", "translate"}) {
    accepted(with(name));
  }
  for (const char* name : {"", "a\"b", "a\r\nb", "\xff"}) refused("extra-fields", with(name));
  refused("extra-fields vad", [](Settings& s) { s.request.extra_fields = {{"vad", "\xff"}}; });
  refused("extra-fields chunking-strategy", [](Settings& s) {
    s.request.chunking_strategy = ChunkingStrategy::kAuto;
    s.request.extra_fields = {{"chunking_strategy[type]", "server_vad"}};
  });
  refused("extra-fields logprobs", [](Settings& s) {
    s.request.logprobs = true;
    s.request.extra_fields = {{"include[]", "logprobs"}};
  });
  accepted([](Settings& s) {
    s.request.task = Task::kTranslate;
    s.request.extra_fields = {{"language", "de"}};
  });
}
END_TEST

Suite* make_suite() {
  Suite* suite = suite_create("validate");
  TCase* tcase = tcase_create("validate");
  tcase_add_test(tcase, defaults_are_fine);
  tcase_add_test(tcase, key_is_needed_only_where_it_is);
  tcase_add_test(tcase, keys_with_odd_characters_are_refused);
  tcase_add_test(tcase, bad_base_urls_are_refused);
  tcase_add_test(tcase, headers_stay_legal);
  tcase_add_test(tcase, extra_headers_override_nothing_of_ours);
  tcase_add_test(tcase, languages_exclude_each_other);
  tcase_add_test(tcase, keywords_are_plain_lines);
  tcase_add_test(tcase, texts_are_utf8);
  tcase_add_test(tcase, model_is_free_but_not_empty);
  tcase_add_test(tcase, temperature_has_bounds);
  tcase_add_test(tcase, formats_must_fit);
  tcase_add_test(tcase, translations_take_less);
  tcase_add_test(tcase, extra_fields_override_nothing_of_ours);
  suite_add_tcase(suite, tcase);
  return suite;
}

}  // namespace

TRANSCRIBE_CHECK_MAIN(make_suite)
