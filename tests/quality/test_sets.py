#!/usr/bin/env python3
"""The recordings of tests/quality are the same every time and hold what their references say."""

import unittest

import numpy as np

import noise
import sets
import speech
from speech import RATE, rms


def level(recording, begin, end):
    samples = recording.samples[int(begin * RATE) : int(end * RATE)]
    return 20 * np.log10(rms(samples / 32768) + 1e-9)


class Sets(unittest.TestCase):
    def setUp(self):
        sets.utterances.cache_clear()
        self.story, self.voices = sets.story, sets.VOICES
        sets.story = lambda: self.story()[: sets.STORY_PARTS * 2]
        sets.VOICES = ("slt",)

    def tearDown(self):
        sets.story, sets.VOICES = self.story, self.voices
        sets.utterances.cache_clear()

    def check_words(self, recording, shortest=0.0):
        last = 0.0
        for word in recording.words:
            self.assertLessEqual(last, word.begin + 1e-6, word)
            self.assertLess(word.begin + shortest, word.end, word)
            last = word.end
        self.assertLessEqual(last, recording.seconds)

    def test_the_same_every_time(self):
        for name in ("lv-n20", "tts", "cont", "gaps-musicgaps"):
            first = list(sets.make_set(name, short=True))
            sets.utterances.cache_clear()
            again = list(sets.make_set(name, short=True))
            self.assertEqual([r.name for r in first], [r.name for r in again])
            for one, other in zip(first, again):
                self.assertTrue(np.array_equal(one.samples, other.samples), one.name)
                self.assertEqual(one.words, other.words)

    def test_recordings_differ(self):
        recordings = list(sets.make_set("lv"))
        self.assertEqual(len(recordings), sets.LIBRIVOX_ORDERS)
        orders = {" ".join(w.text for w in recording.words) for recording in recordings}
        self.assertEqual(len(orders), sets.LIBRIVOX_ORDERS)
        for recording in recordings:
            self.assertEqual(len(recording.words), 71)

    def test_words_are_where_the_reference_says(self):
        for recording in sets.make_set("gaps-floor", short=True):
            self.check_words(recording, 0.02)
            count = len(recording.samples)
            gaps = sets.gaps_between(recording.words, count)
            self.assertGreaterEqual(len(gaps), 3)
            for begin, end in gaps:
                # The recordings begin and end with breath.
                margin = 0.4 if recording.source == "lv" else 0.1
                gap = level(recording, begin / RATE + margin, end / RATE - margin)
                self.assertAlmostEqual(gap, sets.FLOOR_DBFS, delta=2)
            for word in recording.words:
                self.assertGreater(level(recording, word.begin, word.end), -50, word)

    def test_espeak_is_heard_where_the_reference_says(self):
        recordings = [r for r in sets.make_set("gaps-floor") if r.source == speech.ESPEAK]
        self.assertEqual(len(recordings), sets.STORY_PARTS)
        for recording in recordings:
            self.check_words(recording, 0.02)
            for begin, end in sets.gaps_between(recording.words, len(recording.samples)):
                gap = level(recording, begin / RATE + 0.1, end / RATE - 0.1)
                self.assertAlmostEqual(gap, sets.FLOOR_DBFS, delta=2)
                if end < len(recording.samples):
                    self.assertGreater(level(recording, end / RATE, end / RATE + 0.3), -40)

    def test_noise_is_as_loud_as_said(self):
        for condition, wanted in {"pink10": -33, "babble10": -33, "music20": -43}.items():
            recording = next(sets.make_set("gaps-" + condition, short=True))
            gaps = sets.gaps_between(recording.words, len(recording.samples))
            heard = np.concatenate([recording.samples[b + 8000 : e - 8000] for b, e in gaps])
            self.assertAlmostEqual(20 * np.log10(rms(heard / 32768)), wanted, delta=2)

    def test_low_ones_are_lower(self):
        loud = next(sets.make_set("gaps-floor", short=True))
        low = next(sets.make_set("gaps-low", short=True))
        difference = [
            level(loud, a.begin, a.end) - level(low, b.begin, b.end)
            for a, b in zip(loud.words, low.words)
        ]
        self.assertAlmostEqual(max(difference), 20, delta=1)
        self.assertAlmostEqual(min(difference), 0, delta=0.1)

    def test_cont_has_no_pause(self):
        quiet = 0
        for recording in sets.make_set("cont"):
            self.check_words(recording)
            inner = recording.samples[int(0.5 * RATE) : -int(0.5 * RATE)] / 32768
            frames = inner[: len(inner) // 160 * 160].reshape(-1, 160)
            for silent in np.sqrt(np.mean(frames**2, axis=1)) < 10 ** (-55 / 20):
                quiet = quiet + 1 if silent else 0
                self.assertLess(quiet, 10)
            plain = next(r for r in sets.make_set("tts") if r.source == recording.source)
            self.assertLess(recording.seconds, 0.9 * plain.seconds)

    def test_pink_falls_three_decibels_per_octave(self):
        samples = noise.pink(sets.random_of("pink"), 1 << 18, 0.1)
        power = np.abs(np.fft.rfft(samples)) ** 2
        frequency = np.fft.rfftfreq(len(samples), 1 / RATE)

        def band(low):
            return np.sum(power[(frequency >= low) & (frequency < 2 * low)])

        self.assertAlmostEqual(band(200) / band(1600), 1, delta=0.1)

    def test_references_fit_the_transcription(self):
        with open(speech.LIBRIVOX + "/transcription", encoding="utf-8") as file:
            wanted = [line.split("</s>")[0].replace("<s>", "").split() for line in file]
        heard = [[word.text for word in utterance.words] for utterance in speech.librivox()]
        self.assertEqual(sorted(wanted), sorted(heard))


if __name__ == "__main__":
    unittest.main()
