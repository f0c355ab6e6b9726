#include "openai/failure.h"

#include <libsoup/soup.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "openai/error_body.h"
#include "openai/fields.h"
#include "openai/response.h"

namespace transcribe {
namespace {

// Far over every limit of ours, far below the end of Nanoseconds.
constexpr double kMaxDelaySeconds = 366.0 * 24 * 3600;

// Codes and types of an account that has no money left, whatever the status.
bool is_about_money(std::string_view word) {
  for (const char* known :
       {"insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded", "organization_usage_limit_exceeded",
        "billing_hard_limit_reached", "billing_not_active"}) {
    if (word == known) return true;
  }
  return false;
}

struct Verdict {
  Severity severity;
  Cause cause;
  std::string what;    // what happened, without the full stop
  std::string advice;  // whole sentences
};

std::string location_of(const HttpResponse& response) {
  const auto location = find_header(response.headers, "location");
  if (!location || location->find("://") == std::string::npos) return {};
  const UriPtr uri(g_uri_parse(location->c_str(), G_URI_FLAGS_ENCODED, nullptr));
  if (!uri) return {};
  CharPtr text(g_uri_to_string_partial(
      uri.get(),
      static_cast<GUriHideFlags>(G_URI_HIDE_USERINFO | G_URI_HIDE_QUERY | G_URI_HIDE_FRAGMENT)));
  return " to " + excerpt(text.get());
}

Verdict not_authorized(std::string what, std::string advice) {
  return {Severity::kJob, Cause::kNotAuthorized, std::move(what), std::move(advice)};
}

Verdict transient(Cause cause, std::string what, std::string advice) {
  return {Severity::kRetry, cause, std::move(what), std::move(advice)};
}

Verdict bad_chunk(std::string what, std::string advice) {
  return {Severity::kChunk, Cause::kWrite, std::move(what), std::move(advice)};
}

constexpr char kCheckUrl[] =
    "Check base-url (up to and including /v1, without /audio/transcriptions)";

bool translates(const std::string& url) {
  return g_str_has_suffix(url.c_str(), "/audio/translations") != FALSE;
}

Verdict judge_job_wide(const HttpResponse& response, const ErrorBody& body, const std::string& url,
                       bool& applies) {
  applies = true;
  const unsigned status = response.status;
  if (status >= 300 && status < 400) {
    return {Severity::kJob, Cause::kSettings, url + " redirects" + location_of(response),
            "Redirects are not followed: set base-url to the address that answers itself."};
  }
  if (status >= 400 && status < 500 && (is_about_money(body.code) || is_about_money(body.type))) {
    return not_authorized("The account's credit or spending limit is used up",
                          "Trying again does not help: see the service's billing page (OpenAI: "
                          "https://platform.openai.com/settings/organization/billing).");
  }
  switch (status) {
    case 401:
      return not_authorized("The service does not accept the API key",
                            "Check api-key (or OPENAI_API_KEY), auth-scheme and base-url.");
    case 402:
      return not_authorized("The service asks for payment", "See the service's billing page.");
    case 403:
      return not_authorized(
          "The service refuses access",
          "Check that api-key may use this model, project and organization, and that the service "
          "is offered in your region.");
    case 407:
      return not_authorized("The proxy asks for a login, or refuses the one it got",
                            "Set proxy with a user and a password that it takes: "
                            "http://USER:PASSWORD@HOST:PORT.");
    case 404:
      if (body.code == "model_not_found") {
        return {Severity::kJob, Cause::kNotFound, "The service has no such model at " + url,
                "Check model, and that api-key may use it."};
      }
      return {Severity::kJob, Cause::kNotFound, "Nothing was found at " + url,
              std::string(kCheckUrl) + (translates(url) ? ", model and task." : " and model.")};
    default:
      break;
  }
  if (status == 400 || status == 422) {
    if (const auto property = property_of_field(body.param)) {
      std::string advice = "Check " + std::string(*property) + ", and that the model supports it.";
      // With response-format=auto it is not that property which decides.
      if (*property == "response-format")
        advice =
            "Check response-format, timestamp-granularities (with response-format=auto they ask "
            "for verbose_json) and model, which has to support it.";
      return {Severity::kJob, Cause::kSettings, "The service rejects the field " + body.param,
              std::move(advice)};
    }
  }
  applies = false;
  return {};
}

Verdict judge_chunk(const HttpResponse& response, const ErrorBody& body, const std::string& url) {
  const unsigned status = response.status;
  switch (status) {
    case 408:
      return transient(Cause::kWrite, "The service gave up waiting for the request",
                       "Check the network, or lower max-parallel.");
    case 409:
      return transient(Cause::kWrite, "The service reports a conflict", "Try again later.");
    case 413:
      return bad_chunk("The service finds the chunk too large", "Lower max-chunk-duration.");
    case 425:
      return transient(Cause::kWrite, "The service wants the request later", "Try again later.");
    case 429:
      if (body.code == "slow_down" || body.type == "slow_down") {
        return transient(Cause::kBusy, "The service asks for a slower start",
                         "Lower requests-per-second or max-parallel.");
      }
      return transient(Cause::kBusy, "The service's rate limit is reached",
                       "Lower requests-per-second or max-parallel.");
    case 498:
      return transient(Cause::kWrite, "The service has no capacity left", "Try again later.");
    case 501:
      return transient(Cause::kWrite, "The service can't do this at " + url,
                       std::string(kCheckUrl) + (translates(url) ? " and task." : "."));
    case 503:
      return transient(Cause::kBusy, "The service is overloaded or not ready",
                       "Try again later, or lower max-parallel.");
    default:
      break;
  }
  if (status >= 400 && status < 500) {
    return bad_chunk("The service rejects the chunk",
                     "Check that the model takes this audio and these settings.");
  }
  return transient(Cause::kWrite, "The service failed", "Try again later, or raise retries.");
}

std::string compose(const Verdict& verdict, unsigned status, const ErrorBody& body) {
  std::string text = verdict.what + " (HTTP " + std::to_string(status);
  if (body.readable) {
    text += ": " + body.message;
  } else if (!body.code.empty()) {
    text += ": " + body.code;
  }
  return text + "). " + verdict.advice;
}

std::optional<bool> should_retry(const Headers& headers) {
  const auto value = find_header(headers, "x-should-retry");
  if (!value) return std::nullopt;
  if (g_ascii_strcasecmp(value->c_str(), "true") == 0) return true;
  if (g_ascii_strcasecmp(value->c_str(), "false") == 0) return false;
  return std::nullopt;
}

// Digits with a fraction; not what else strtod takes: signs, exponents, hex, "inf".
std::optional<double> read_decimal(const std::string& text) {
  if (text.empty() || !g_ascii_isdigit(text.front())) return std::nullopt;
  if (text.find_first_not_of("0123456789.") != std::string::npos) return std::nullopt;
  char* end = nullptr;
  const double value = g_ascii_strtod(text.c_str(), &end);
  if (*end != '\0') return std::nullopt;
  return value;
}

std::string strip(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

Nanoseconds from_seconds(double seconds) {
  return Nanoseconds(std::llround(std::clamp(seconds, 0.0, kMaxDelaySeconds) * 1e9));
}

std::optional<Nanoseconds> until_date(const std::string& text, WallTime wall_now) {
  const DateTimePtr date(soup_date_time_new_from_http_string(text.c_str()));
  if (!date) return std::nullopt;
  const double now = std::chrono::duration<double>(wall_now.time_since_epoch()).count();
  return from_seconds(static_cast<double>(g_date_time_to_unix(date.get())) - now);
}

}  // namespace

std::optional<Nanoseconds> server_delay(const Headers& headers, WallTime wall_now) {
  for (const char* name : {"retry-after-ms", "x-ms-retry-after-ms"}) {
    if (const auto value = find_header(headers, name)) {
      if (const auto delay = read_decimal(strip(*value))) return from_seconds(*delay / 1000);
    }
  }
  const auto value = find_header(headers, "retry-after");
  if (!value) return std::nullopt;
  if (const auto delay = read_decimal(strip(*value))) return from_seconds(*delay);
  return until_date(*value, wall_now);
}

Failure classify_response(const HttpResponse& response, const std::string& url, WallTime wall_now) {
  const ErrorBody body = read_error_body(response.body);
  bool job_wide = false;
  bool busy = false;
  Verdict verdict = judge_job_wide(response, body, url, job_wide);
  if (!job_wide) {
    verdict = judge_chunk(response, body, url);
    busy = verdict.severity == Severity::kRetry;
    if (const auto wish = should_retry(response.headers)) {
      busy = busy || *wish;
      verdict.severity = *wish ? Severity::kRetry : Severity::kChunk;
    }
  }
  Failure failure;
  failure.severity = verdict.severity;
  failure.cause = verdict.cause;
  failure.message = compose(verdict, response.status, body);
  failure.reason = response.status == 413 ? "too-large" : "http-status";
  failure.http_status = response.status;
  failure.error_type = body.type;
  failure.error_code = body.code;
  failure.error_param = body.param;
  failure.error_message = body.message;
  failure.request_id = find_request_id(response.headers);
  // Also when this chunk is not sent again.
  if (busy) {
    failure.server_delay = server_delay(response.headers, wall_now);
    // A busy moment concerns everybody; a 503 without a delay may be one broken backend.
    failure.hold_group = response.status == 429 || (response.status == 503 && failure.server_delay);
    failure.slow_down = body.code == "slow_down" || body.type == "slow_down";
  }
  failure.maybe_processed =
      response.status == 408 || (response.status >= 500 && response.status != 503);
  return failure;
}

Failure classify_transport(const TransportError& error, const std::string& url) {
  Failure failure;
  failure.error_message = excerpt(error.message);
  failure.maybe_processed = error.connected;
  std::string what;
  std::string advice;
  switch (error.fault) {
    case TransportFault::kCancelled:
      failure.reason = "cancelled";
      what = "The request to " + url + " was cancelled";
      break;
    case TransportFault::kDeadline:
      failure.reason = "timeout";
      what = "No complete answer from " + url + " in time";
      advice = "Raise request-timeout, or lower max-parallel or max-chunk-duration.";
      break;
    case TransportFault::kNetwork:
      failure.reason = error.connected ? "network" : "refused";
      failure.cause = error.connected ? Cause::kWrite : Cause::kConnect;
      failure.retry_at_once = error.reused_connection;
      what = error.connected ? "The connection to " + url + " was lost" : "No connection to " + url;
      advice = error.connected ? "Check the network and the service's log."
                               : "Check base-url, the network, and that the service is running.";
      break;
    case TransportFault::kNotFound:
      failure.reason = "network";
      failure.cause = Cause::kNotFound;
      what = "The host of " + url + " is unknown";
      advice = "Check base-url and the network's name server.";
      break;
    case TransportFault::kTls:
      failure.reason = "tls";
      failure.cause = Cause::kConnect;
      what = "No trusted connection to " + url;
      advice = "Check tls-ca-file, base-url and the computer's date.";
      break;
    case TransportFault::kInvalid:
      failure.severity = Severity::kJob;
      failure.cause = Cause::kSettings;
      failure.reason = "network";
      what = "No request can be sent to " + url;
      advice = "Check base-url and proxy.";
      break;
  }
  failure.message = what;
  if (!failure.error_message.empty()) failure.message += " (" + failure.error_message + ")";
  failure.message += ".";
  if (!advice.empty()) failure.message += " " + advice;
  return failure;
}

Failure broken_response(const HttpResponse& response, const std::string& why) {
  Failure failure;
  failure.cause = Cause::kRead;
  failure.reason = "invalid-response";
  failure.http_status = response.status;
  const ErrorBody body = read_error_body(response.body);
  failure.error_type = body.type;
  failure.error_code = body.code;
  failure.error_param = body.param;
  failure.error_message = body.message;
  failure.message = "The service's answer is no transcription: " + why;
  if (!body.type.empty() && body.readable) failure.message += " (" + body.message + ")";
  failure.message += ". Check that base-url leads to a speech-to-text service, or try again later.";
  failure.request_id = find_request_id(response.headers);
  failure.maybe_processed = true;
  return failure;
}

}  // namespace transcribe
