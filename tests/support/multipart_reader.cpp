#include "multipart_reader.h"

#include <glib.h>
#include <libsoup/soup.h>

#include <map>

namespace transcribe::testing {
namespace {

// The parameters of "value; name=text; …"; the value itself is stored under "".
std::map<std::string, std::string> read_parameters(const std::string& header) {
  std::map<std::string, std::string> parameters;
  parameters[""] = header.substr(0, header.find(';'));
  GHashTable* table = soup_header_parse_semi_param_list(header.c_str());
  GHashTableIter iterator;
  g_hash_table_iter_init(&iterator, table);
  gpointer name = nullptr;
  gpointer value = nullptr;
  while (g_hash_table_iter_next(&iterator, &name, &value)) {
    if (value) {
      parameters[static_cast<char*>(name)] = static_cast<char*>(value);
    }
  }
  soup_header_free_param_list(table);
  return parameters;
}

// Browsers escape exactly these three in names and file names.
std::string unescape_name(std::string text) {
  const std::pair<const char*, const char*> escapes[] = {
      {"%22", "\""}, {"%0D", "\r"}, {"%0A", "\n"}};
  for (const auto& [escaped, plain] : escapes) {
    for (std::size_t at = 0; (at = text.find(escaped, at)) != std::string::npos; ++at) {
      text.replace(at, 3, plain);
    }
  }
  return text;
}

std::string read_part(std::string_view bytes, Part& part) {
  const auto head_end = bytes.find("\r\n\r\n");
  Headers headers;
  if (head_end == std::string_view::npos ||
      !read_header_lines(bytes.substr(0, head_end + 2), headers)) {
    return "a part without a valid header";
  }
  auto disposition = read_parameters(find_header(headers, "Content-Disposition"));
  if (disposition[""] != "form-data" || disposition.count("name") == 0) {
    return "a part without 'Content-Disposition: form-data; name=…'";
  }
  part.name = unescape_name(disposition["name"]);
  if (disposition.count("filename") != 0) {
    part.filename = unescape_name(disposition["filename"]);
  }
  part.content_type = find_header(headers, "Content-Type");
  part.content = std::make_shared<const std::string>(bytes.substr(head_end + 4));
  return {};
}

}  // namespace

bool read_header_lines(std::string_view lines, Headers& headers) {
  while (!lines.empty()) {
    const auto end = lines.find("\r\n");
    if (end == std::string_view::npos) {
      return false;
    }
    const auto line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0 ||
        line.substr(0, colon).find_first_of(" \t\r\n") != std::string_view::npos ||
        line.find_first_of("\r\n") != std::string_view::npos) {
      return false;
    }
    const auto first = line.find_first_not_of(" \t", colon + 1);
    const auto last = line.find_last_not_of(" \t");
    headers.emplace_back(line.substr(0, colon), first == std::string_view::npos
                                                    ? std::string_view()
                                                    : line.substr(first, last - first + 1));
  }
  return true;
}

std::string read_multipart(const std::string& content_type, std::string_view body,
                           std::vector<Part>& parts) {
  auto type = read_parameters(content_type);
  if (g_ascii_strcasecmp(type[""].c_str(), "multipart/form-data") != 0 ||
      type["boundary"].empty()) {
    return "the content type is '" + content_type + "', not multipart/form-data with a boundary";
  }
  const std::string opening = "--" + type["boundary"];
  const std::string delimiter = "\r\n" + opening;
  if (body.substr(0, opening.size()) != opening) {
    return "the body does not begin with its boundary";
  }
  body.remove_prefix(opening.size());
  while (body.substr(0, 2) == "\r\n") {
    body.remove_prefix(2);
    const auto end = body.find(delimiter);
    if (end == std::string_view::npos) {
      return "the body ends inside a part";
    }
    Part part;
    const auto error = read_part(body.substr(0, end), part);
    if (!error.empty()) {
      return error;
    }
    parts.push_back(std::move(part));
    body.remove_prefix(end + delimiter.size());
  }
  if (body != "--\r\n" && body != "--") {
    return "the body does not end with its closing boundary";
  }
  return {};
}

}  // namespace transcribe::testing
