"""What may be heard beside speech: noise, voices, music. All of one RMS level, seeded."""

import functools

import numpy as np

from speech import RATE, rms


def of_level(samples, level):
    return samples * (level / rms(samples))


def white(random, count, level):
    return of_level(random.standard_normal(count), level)


def pink(random, count, level):
    """1/f from 20 Hz."""
    length = 1 << (count - 1).bit_length()
    spectrum = np.fft.rfft(random.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / RATE)
    spectrum[frequency < 20] = 0
    spectrum[1:] /= np.sqrt(frequency[1:])
    return of_level(np.fft.irfft(spectrum, length)[:count], level)


def babble(random, count, level, utterances, voices=8):
    """Several people, each of whom speaks without a pause."""
    mixed = np.zeros(count)
    for _ in range(voices):
        at = -random.randint(0, 4 * RATE)
        while at < count:
            samples = utterances[random.randint(len(utterances))].samples
            begin, end = max(at, 0), min(at + len(samples), count)
            if end > begin:
                mixed[begin:end] += samples[begin - at : end - at]
            at += len(samples)
    return of_level(mixed, level)


# Semitones above A2 of four chords.
_CHORDS = ((0, 3, 7, 12), (-4, 0, 3, 8), (3, 7, 10, 15), (-2, 2, 5, 10))
_EIGHTH = 0.25  # seconds
_RING = 2.0


@functools.cache
def _note(semitones, partials):
    time = np.arange(int(_RING * RATE)) / RATE
    frequency = 110 * 2 ** (semitones / 12)
    note = sum(
        np.sin(2 * np.pi * frequency * k * time) * np.exp(-time * (1.5 + 0.8 * k)) / k
        for k in range(1, partials + 1)
    )
    return note * np.minimum(1, time / 0.005)


def music(random, count, level):
    """Plucked chords over a bass with a drum: notes that begin and fade, four bars in a loop."""
    out = np.zeros(count + 2 * int(_RING * RATE))
    decay = np.exp(-np.arange(RATE // 10) / 300)

    def add(at, sound, loudness):
        out[at : at + len(sound)] += loudness * sound

    for number, at in enumerate(range(0, count, int(_EIGHTH * RATE))):
        chord = _CHORDS[number // 8 % len(_CHORDS)]
        if number % 8 == 0:
            add(at, _note(chord[0] - 12, 4), 1.0)
        plucked = chord[random.randint(len(chord))] + 12
        add(at, _note(plucked, 8), 0.6 + 0.4 * random.random_sample())
        if number % 2 == 0:
            add(at, random.standard_normal(len(decay)) * decay, 0.3)
    return of_level(out[:count], level)


@functools.cache
def _held(chord):
    """A loop of all four bars: every tone fits into it, so its end goes over into its start."""
    length = 8 * _EIGHTH * len(_CHORDS)
    time = np.arange(round(length * RATE)) / RATE
    out = np.zeros(len(time))
    for semitones in chord:
        tone = round(110 * 2 ** (semitones / 12) * length) / length
        for k in range(1, 9):
            out += np.sin(2 * np.pi * tone * k * time + k * k) / k
    return out


def chords(count, level):
    """The same chords held, as by an organ, one after the other without a beat."""
    bars = len(_CHORDS)
    at = np.arange(round(8 * _EIGHTH * bars * RATE)) / RATE / (8 * _EIGHTH)
    loop = np.zeros(len(at))
    for number, chord in enumerate(_CHORDS):
        # A tenth of a bar to fade over into the next.
        phase = (at - number + 0.5) % bars - 0.5
        loop += np.clip(np.minimum(phase, 1 - phase) * 10 + 0.5, 0, 1) * _held(chord)
    return of_level(np.tile(loop, count // len(loop) + 1)[:count], level)
