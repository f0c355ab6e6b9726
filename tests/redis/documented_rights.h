// The ACL line of docs/redis.md for the element, as written there.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace transcribe {

// Its words; none when the page has no such line. The user's password is PASSWORD.
inline std::vector<std::string> documented_rights() {
  std::ifstream file(TRANSCRIBE_REDIS_DOC);
  std::vector<std::string> words;
  std::string line;
  while (words.empty() && std::getline(file, line)) {
    if (!line.starts_with("ACL SETUSER transcribe ")) continue;
    std::istringstream text(line);
    for (std::string word; text >> word;) words.push_back(word);
  }
  return words;
}

}  // namespace transcribe
