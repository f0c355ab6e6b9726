// Transcriptions as services send them.
#pragma once

#include <string>
#include <vector>

namespace transcribe::testing {

inline const char* const kOpenAiJson =
    R"({"text":"And so my fellow Americans.","languages":[{"code":"en"}],)"
    R"("usage":{"type":"tokens","input_tokens":14,"output_tokens":45,"total_tokens":59}})";
inline const char* const kOpenAiVerbose =
    R"({"task":"transcribe","language":"english","duration":8.47,"text":"The beach was popular.",)"
    R"("segments":[{"id":0,"seek":0,"start":0.0,"end":3.32,"text":" The beach","tokens":[50364,440],)"
    R"("temperature":0.0,"avg_logprob":-0.25,"compression_ratio":1.25,"no_speech_prob":0.01},)"
    R"({"id":1,"seek":0,"start":3.32,"end":8.47,"text":" was popular.","tokens":[],)"
    R"("temperature":0.0,"avg_logprob":-0.5,"compression_ratio":1.5,"no_speech_prob":0.02}],)"
    R"("words":[{"word":"The","start":0.0,"end":0.24},{"word":"beach","start":0.24,"end":0.5}],)"
    R"("usage":{"type":"duration","seconds":9}})";
inline const char* const kOpenAiDiarized =
    R"({"task":"transcribe","duration":27.4,"text":"Agent: Hi. A: Hello.","segments":[)"
    R"({"type":"transcript.text.segment","id":"seg_001","start":0.0,"end":4.7,"text":"Hi.",)"
    R"("speaker":"agent"},{"type":"transcript.text.segment","id":"seg_002","start":4.7,"end":11.8,)"
    R"("text":"Hello.","speaker":"A"}],"usage":{"type":"duration","seconds":27}})";
inline const char* const kWhisperCpp =
    R"({"task":"transcribe","language":"english","duration":11.0,"text":" And so my\n",)"
    R"("segments":[{"id":0,"text":" And so my","start":0.32,"end":10.4,"tokens":[400,370],)"
    R"("words":[{"word":" And","start":0.32,"end":0.37,"t_dtw":-1,"probability":0.75},)"
    R"({"word":" so","start":0.37,"end":0.53,"t_dtw":-1,"probability":0.5}],)"
    R"("temperature":0.0,"avg_logprob":-0.1,"no_speech_prob":0.0}],)"
    R"("detected_language":"english","language_probabilities":{"en":0.98}})";
inline const char* const kVllm =
    R"({"duration":"11.0","language":"en","text":"hello","segments":[{"id":0,"avg_logprob":-0.5,)"
    R"("compression_ratio":1.1,"end":2.5,"no_speech_prob":null,"seek":0,"start":0.5,)"
    R"("temperature":0.0,"text":"hello","tokens":[1]}],"words":null})";
inline const char* const kLocalAi =
    R"({"segments":[{"id":0,"start":0.5,"end":1.5,"text":"good day","tokens":null,"words":)"
    R"([{"start":0.5,"end":0.9,"text":"good"},{"start":0.9,"end":1.5,"text":"day"}]}],)"
    R"("text":"good day"})";
inline const char* const kGroq = R"({"text":" hello ","x_groq":{"id":"req_01"}})";
inline const char* const kSpeaches =
    R"({"text":"hi","language":null,"duration":null,"words":null,"segments":null})";
inline const char* const kLogprobs =
    R"({"text":"ab","logprobs":[{"token":"a","logprob":-0.1,"bytes":[97]},)"
    R"({"token":"b","logprob":-0.3,"bytes":[98]}]})";

inline const std::vector<std::string> kAnswers = {
    kOpenAiJson, kOpenAiVerbose, kOpenAiDiarized, kWhisperCpp, kVllm,
    kLocalAi,    kGroq,          kSpeaches,       kLogprobs,   R"({"text":"\ud83d\ude00\u0000"})"};

}  // namespace transcribe::testing
