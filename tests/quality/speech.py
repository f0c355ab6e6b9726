"""Utterances whose words and their times are known: LibriVox recordings and a story that flite and
espeak-ng read. Everything is 16 kHz mono; samples are float64 between -1 and 1."""

import csv
import ctypes
import os
import re
import subprocess
import wave
from dataclasses import dataclass, field

import numpy as np

RATE = 16000
HERE = os.path.dirname(os.path.abspath(__file__))
LIBRIVOX = "/usr/share/pocketsphinx/test/data/librivox"
VOICES = ("slt", "rms", "awb")  # of flite
ESPEAK = "espeak"
SPEECH_DBFS = -23.0
# Silence that is left before the first and after the last word of what flite says.
EDGE_SECONDS = 0.05


@dataclass
class Word:
    text: str
    begin: float  # seconds
    end: float


@dataclass
class Utterance:
    samples: np.ndarray
    words: list[Word] = field(default_factory=list)

    @property
    def seconds(self):
        return len(self.samples) / RATE


def decibels(ratio):
    return 10 ** (ratio / 20)


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def at_speech_level(utterance):
    """Its words, taken together, at SPEECH_DBFS."""
    spoken = np.concatenate(
        [utterance.samples[int(w.begin * RATE) : int(w.end * RATE)] for w in utterance.words]
    )
    return Utterance(utterance.samples * (decibels(SPEECH_DBFS) / rms(spoken)), utterance.words)


def normalized(text):
    """The words of a text as a reference has them."""
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


def read_wav(path):
    with wave.open(path) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2), path
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def librivox():
    """The five utterances in their order, with word times from librivox_words.tsv."""
    words = {}
    with open(os.path.join(HERE, "librivox_words.tsv"), encoding="utf-8") as file:
        rows = csv.reader((line for line in file if line[0] != "#"), delimiter="\t")
        for name, text, begin, end in rows:
            words.setdefault(name, []).append(Word(text, float(begin), float(end)))
    return [
        at_speech_level(Utterance(read_wav(f"{LIBRIVOX}/{name}.wav"), words[name]))
        for name in sorted(words)
    ]


def story():
    """Its sentences."""
    with open(os.path.join(HERE, "story.txt"), encoding="utf-8") as file:
        return file.read().splitlines()


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("rate", ctypes.c_int),
        ("count", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


_POINTER, _TEXT = ctypes.c_void_p, ctypes.c_char_p
_FUNCTIONS = {
    "flite_init": (ctypes.c_int, ()),
    "flite_synth_text": (_POINTER, (_TEXT, _POINTER)),
    "utt_wave": (ctypes.POINTER(_Wave), (_POINTER,)),
    "utt_relation": (_POINTER, (_POINTER, _TEXT)),
    "relation_head": (_POINTER, (_POINTER,)),
    "item_next": (_POINTER, (_POINTER,)),
    "flite_ffeature_float": (ctypes.c_float, (_POINTER, _TEXT)),
    "delete_utterance": (None, (_POINTER,)),
}
_WORD_BEGIN = b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"
_WORD_END = b"R:SylStructure.daughtern.daughtern.R:Segment.end"


class Flite:
    """One of flite's voices. Called by its library, which knows when it says each word."""

    def __init__(self, voice):
        self._flite = ctypes.CDLL("libflite.so.1")
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self._flite, name)
            function.restype, function.argtypes = result, arguments
        self._flite.flite_init()
        self._libc = ctypes.CDLL(None)
        register = getattr(ctypes.CDLL(f"libflite_cmu_us_{voice}.so.1"), f"register_cmu_us_{voice}")
        register.restype, register.argtypes = _POINTER, (_TEXT,)
        self._voice = register(None)

    def say(self, sentence):
        # The breath in its voices comes from rand().
        self._libc.srand(1)
        spoken = self._flite.flite_synth_text(sentence.encode(), self._voice)
        result = self._flite.utt_wave(spoken).contents
        assert (result.rate, result.channels) == (RATE, 1), result.rate
        samples = np.ctypeslib.as_array(result.samples, (result.count,)) / 32768
        times = []
        item = self._flite.relation_head(self._flite.utt_relation(spoken, b"Word"))
        while item:
            times.append(
                [self._flite.flite_ffeature_float(item, path) for path in (_WORD_BEGIN, _WORD_END)]
            )
            item = self._flite.item_next(item)
        self._flite.delete_utterance(spoken)

        texts = normalized(sentence)
        assert len(texts) == len(times), f"flite says {len(times)} words: {sentence}"
        begin = max(0, round((times[0][0] - EDGE_SECONDS) * RATE))
        end = round((times[-1][1] + EDGE_SECONDS) * RATE)
        words = [
            Word(text, first - begin / RATE, last - begin / RATE)
            for text, (first, last) in zip(texts, times)
        ]
        return at_speech_level(Utterance(samples[begin:end], words))


def espeak(sentence):
    """By espeak-ng's program, whose voice is the same only in a fresh process. The times of its
    words are estimated: spread over the sentence by their letters."""
    command = ["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", sentence]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    rate = int.from_bytes(data[24:28], "little")
    samples = _resampled(np.frombuffer(data[44:], "<i2") / 32768, rate)
    audible = np.nonzero(np.abs(samples) > 0.01 * np.max(np.abs(samples)))[0]
    margin = round(EDGE_SECONDS * RATE)
    samples = samples[max(0, audible[0] - margin) : audible[-1] + margin]
    texts = normalized(sentence)
    ends = np.cumsum([len(text) + 1 for text in texts])
    times = EDGE_SECONDS + np.array([0, *ends]) / ends[-1] * (
        len(samples) / RATE - 2 * EDGE_SECONDS
    )
    words = [Word(*word) for word in zip(texts, times[:-1].tolist(), times[1:].tolist())]
    return at_speech_level(Utterance(samples, words))


def _resampled(samples, rate):
    count = round(len(samples) * RATE / rate)
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return np.fft.irfft(spectrum, count) * (count / len(samples))


def read_aloud(voice, sentences):
    say = espeak if voice == ESPEAK else Flite(voice).say
    return [say(sentence) for sentence in sentences]
