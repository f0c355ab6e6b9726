"""The recordings that the quality of cutting, joining and skipping is measured on.

Nothing is left to chance: each recording draws from a Mersenne Twister seeded with the CRC-32 of
SEED and its name, so one recording can be made without the others.
"""

import functools
import wave
import zlib
from dataclasses import dataclass

import numpy as np

import noise
from speech import (
    ESPEAK,
    RATE,
    SPEECH_DBFS,
    VOICES,
    Utterance,
    Word,
    decibels,
    librivox,
    read_aloud,
    story,
)

SEED = 4
FLOOR_DBFS = -65
LIBRIVOX_ORDERS = 8
LIBRIVOX_PAUSES = (0.12, 0.25, 0.4, 0.7, 1.2, 2.0)
STORY_PAUSES = (0.25, 0.4, 0.7, 1.2)
LONGEST_PAUSE_OF_CONT = 0.03
GAPS = (6.0, 10.0)
STORY_PARTS = 5  # of the story in the files with gaps
EDGE_PAUSE = 0.3
FADE = 0.5


@dataclass
class Recording:
    name: str
    source: str  # lv or a voice
    samples: np.ndarray  # int16
    words: list[Word]

    @property
    def seconds(self):
        return len(self.samples) / RATE

    def write(self, path):
        with wave.open(path, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(self.samples.astype("<i2").tobytes())


def random_of(name):
    return np.random.RandomState(zlib.crc32(f"{SEED}/{name}".encode()))


def below_speech(difference):
    return decibels(SPEECH_DBFS - difference)


@functools.cache
def utterances(source):
    return librivox() if source == "lv" else read_aloud(source, story())


def place(parts, pauses):
    """The parts with a pause before, between and after them."""
    assert len(pauses) == len(parts) + 1
    pieces, words, at = [], [], 0
    for pause, part in zip(pauses, [*parts, None]):
        pieces.append(np.zeros(round(pause * RATE)))
        at += len(pieces[-1])
        if part:
            words += [Word(w.text, w.begin + at / RATE, w.end + at / RATE) for w in part.words]
            pieces.append(part.samples)
            at += len(part.samples)
    return Utterance(np.concatenate(pieces), words)


def without_pauses(utterance):
    """Every pause is at most LONGEST_PAUSE_OF_CONT. What flite says is silent in a pause."""
    frame = RATE // 100
    count = len(utterance.samples) // frame
    power = np.mean(np.square(utterance.samples[: count * frame].reshape(count, frame)), axis=1)
    quiet = power < decibels(-55) ** 2
    keep = np.ones(len(utterance.samples), bool)
    left = round(LONGEST_PAUSE_OF_CONT * 100)
    begin = 0
    for at in range(count + 1):
        if at < count and quiet[at]:
            continue
        # The closure of a "t" is no pause.
        if at - begin >= 8:
            keep[(begin + left) * frame : at * frame] = False
        begin = at + 1
    kept_before = np.concatenate([[0], np.cumsum(keep)])

    def move(seconds):
        return float(kept_before[min(round(seconds * RATE), len(keep))] / RATE)

    words = [Word(w.text, move(w.begin), move(w.end)) for w in utterance.words]
    return Utterance(utterance.samples[keep], words)


def finish(name, source, speech, added=None):
    samples = speech.samples + noise.white(
        random_of(name + "/floor"), len(speech.samples), decibels(FLOOR_DBFS)
    )
    if added is not None:
        samples = samples + added
    samples = np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
    return Recording(name, source, samples, speech.words)


def with_pink(name, speech, difference):
    return noise.pink(random_of(name), len(speech.samples), below_speech(difference))


def lv_speech(number):
    random = random_of(f"lv-{number}")
    parts = [utterances("lv")[i] for i in random.permutation(5)]
    pauses = [LIBRIVOX_PAUSES[i] for i in random.randint(len(LIBRIVOX_PAUSES), size=4)]
    return place(parts, [EDGE_PAUSE, *pauses, EDGE_PAUSE])


def tts_speech(voice):
    random = random_of(f"tts-{voice}")
    parts = utterances(voice)
    pauses = [STORY_PAUSES[i] for i in random.randint(len(STORY_PAUSES), size=len(parts) - 1)]
    return place(parts, [EDGE_PAUSE, *pauses, EDGE_PAUSE])


def cont_speech(voice):
    parts = utterances(voice)
    return without_pauses(place(parts, [EDGE_PAUSE, *[0.0] * (len(parts) - 1), EDGE_PAUSE]))


# The files with gaps: before, between and after the utterances.
def gap_layout(name, parts):
    random = random_of(f"gaps-{name}")
    return place(parts, [random.uniform(*GAPS) for _ in range(len(parts) + 1)])


def gap_names(short):
    """`short`: those that a recogniser hears."""
    names = [f"lv-{number}" for number in range(1, (4 if short else LIBRIVOX_ORDERS) + 1)]
    if short:
        return names + [f"{voice}-{part}" for part, voice in enumerate(VOICES, 1)]
    parts = range(1, STORY_PARTS + 1)
    return names + [f"{voice}-{part}" for voice in (*VOICES, ESPEAK) for part in parts]


def gap_parts(name):
    source, number = name.rsplit("-", 1)
    if source == "lv":
        return [utterances("lv")[i] for i in random_of(f"gaps-{name}/order").permutation(5)]
    length = len(utterances(source)) // STORY_PARTS
    first = (int(number) - 1) * length
    return utterances(source)[first : first + length]


def quieter(parts, difference):
    """Every second one."""
    return [
        Utterance(part.samples * decibels(-difference), part.words) if index % 2 else part
        for index, part in enumerate(parts)
    ]


def music_in_gaps(name, speech, parts_end):
    """Fades in after the last word and out before the next."""
    music = noise.music(random_of(name), len(speech.samples), below_speech(10))
    loudness = np.zeros(len(music))
    fade = round(FADE * RATE)
    for begin, end in parts_end:
        ramp = np.minimum(np.arange(end - begin), np.arange(end - begin)[::-1]) / fade
        loudness[begin:end] = np.minimum(1, ramp)
    return music * loudness


def gaps_between(words, length, shortest=4.0):
    """Sample ranges without a word for at least `shortest` seconds."""
    edges = [0.0, *[t for w in words for t in (w.begin, w.end)], length / RATE]
    spans = zip(edges[::2], edges[1::2])
    return [(round(b * RATE), round(e * RATE)) for b, e in spans if e - b >= shortest]


# What is heard in the files with gaps. The figures are dB below speech.
GAP_CONDITIONS = {
    "floor": "nothing but the floor",
    "pink20": "pink noise 20 dB below speech",
    "pink10": "pink noise 10 dB below speech",
    "pink5": "pink noise 5 dB below speech",
    "pink0": "pink noise as loud as speech",
    "babble10": "eight voices that never pause, 10 dB below speech",
    "chords20": "held chords 20 dB below speech, all the time",
    "music20": "music with a beat 20 dB below speech, all the time",
    "music10": "music with a beat 10 dB below speech, all the time",
    "musicgaps": "music with a beat 10 dB below speech, in the gaps only",
    "low": "every second utterance 20 dB lower than the one before",
    "lowpink": "the same, with pink noise 10 dB below the low ones",
}


def gap_recording(condition, name):
    full = f"gaps-{condition}-{name}"
    source = name.rsplit("-", 1)[0]
    parts = gap_parts(name)
    speech = gap_layout(name, quieter(parts, 20) if condition.startswith("low") else parts)
    count = len(speech.samples)
    random = random_of(full)
    added = None
    if condition.startswith("pink"):
        added = noise.pink(random, count, below_speech(int(condition[4:])))
    elif condition == "lowpink":
        added = noise.pink(random, count, below_speech(30))
    elif condition == "babble10":
        others = [u for voice in VOICES for u in utterances(voice)]
        added = noise.babble(random, count, below_speech(10), others)
    elif condition == "musicgaps":
        added = music_in_gaps(full, speech, gaps_between(speech.words, count))
    elif condition == "chords20":
        added = noise.chords(count, below_speech(20))
    elif condition.startswith("music"):
        added = noise.music(random, count, below_speech(int(condition[5:])))
    return finish(full, source, speech, added)


SETS = {
    "lv": f"LibriVox, five utterances in {LIBRIVOX_ORDERS} orders",
    "tts": "a story read by flite",
    "cont": "the story without a pause",
    "lv-n20": "lv with pink noise 20 dB below speech",
    "tts-n20": "tts with pink noise 20 dB below speech",
    **{f"gaps-{name}": f"gaps: {text}" for name, text in GAP_CONDITIONS.items()},
}


def make_set(name, short=False):
    """Yields the recordings of a set. `short`: of the files with gaps those for a recogniser."""
    if name.startswith("gaps-"):
        for one in gap_names(short):
            yield gap_recording(name.removeprefix("gaps-"), one)
        return
    base, noisy = name.removesuffix("-n20"), name.endswith("-n20")
    if base == "lv":
        sources = [(f"{n}", "lv", lv_speech, n) for n in range(1, LIBRIVOX_ORDERS + 1)]
    else:
        make = {"tts": tts_speech, "cont": cont_speech}[base]
        sources = [(voice, voice, make, voice) for voice in VOICES]
    for label, source, make, argument in sources:
        full = f"{name}-{label}"
        speech = make(argument)
        yield finish(full, source, speech, with_pink(full, speech, 20) if noisy else None)
