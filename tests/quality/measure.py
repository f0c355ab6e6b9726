#!/usr/bin/env python3
"""Measures what cutting, joining and skipping do to the words, and fails where a gate is missed.

usage: measure.py --recognizer PROGRAM [--answers FILE] [--write FILE]

--answers keeps the recogniser's answers for the next run (of the same recogniser and model).
--write puts the tables there, as docs/quality.md has them.
"""

import argparse
import concurrent.futures
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field

import report
import sets
from pipeline import transcribe
from recognizer import Memory, Recognizer, Service, fingerprint
from score import Score, score

CLEAN = ("lv", "tts")
NOISY = ("lv-n20", "tts-n20")
# Gaps of silence, of noise and of music, where skipping must save; in the other files with gaps it
# may send everything. With a beat in the gaps the recogniser invents words: not in the sum of errors.
STEADY_GAPS = ("gaps-floor", "gaps-pink20", "gaps-chords20")
SAVING = (*STEADY_GAPS, "gaps-musicgaps")
# Less than 10 dB: told, not judged.
TOO_NOISY = ("gaps-pink5", "gaps-pink0")

WORDS = {"response-format": "verbose-json", "timestamp-granularities": "word"}
TEXT = {"response-format": "json"}


def lasting(**seconds):
    names = {name.replace("_", "-"): value for name, value in seconds.items()}
    return {name: round(value * 1e9) for name, value in names.items()}


SHORT = lasting(min_chunk_duration=3, max_chunk_duration=7)
ALL_SENT = {"skip-silence": "false"}


@dataclass(frozen=True)
class Strategy:
    name: str
    settings: dict = field(default_factory=dict, hash=False)
    live: bool = False


WHOLE = Strategy("whole", {"split": "fixed", **lasting(max_chunk_duration=300), **ALL_SENT, **WORDS})
BLIND = Strategy(
    "blind, 5 s", {"split": "fixed", **lasting(max_chunk_duration=5), **ALL_SENT, **WORDS}
)
FILE = Strategy("pauses, 12–28 s (files' default)", WORDS)
SHORTER = Strategy("pauses, 3–7 s", {**SHORT, **WORDS})
LIVE = Strategy("live, 3–10 s (live default)", WORDS, live=True)
LIVE_SENT = Strategy("live, 3–10 s, everything sent", {**WORDS, **ALL_SENT}, live=True)
FORCED = Strategy("3–7 s, overlap 1 s, word times", {**SHORT, **WORDS})
FORCED_TEXT = Strategy("3–7 s, overlap 1 s, text only", {**SHORT, **TEXT})
APART = Strategy("3–7 s, no overlap", {**SHORT, **WORDS, "forced-overlap": 0})
STRATEGIES = (WHOLE, BLIND, FILE, SHORTER, LIVE_SENT, LIVE)
JOINS = (WHOLE, BLIND, APART, FORCED, FORCED_TEXT)
SENT = Strategy("everything sent", {**ALL_SENT, **WORDS})
SKIPPED = Strategy("silence skipped", WORDS)


@dataclass
class Cell:
    """One strategy on one set, or several of those pooled."""

    score: Score = field(default_factory=Score)
    seconds: float = 0.0
    sent: float = 0.0
    requests: int = 0
    cuts: int = 0
    seams: int = 0

    @property
    def share(self):
        return 100 * self.sent / self.seconds

    def __add__(self, other):
        return Cell(*(a + b for a, b in zip(vars(self).values(), vars(other).values())))


@dataclass
class Coverage:
    """Where the reference's words are, with skipping on."""

    words: int = 0
    lost: int = 0  # with more than half of them in a skipped span
    clipped: int = 0  # with more than 50 ms in one
    seconds: float = 0.0
    sent: float = 0.0


@dataclass
class Facts:
    files: int
    words: int
    seconds: float


def skipped_seconds(word, spans):
    return sum(max(0.0, min(word.end, end) - max(word.begin, begin)) for begin, end in spans)


class Bench:
    def __init__(self, service, directory):
        self.service = service
        self.directory = directory
        self.facts = {}
        self.cells = {}
        self.coverage = {}

    def _make(self, name, short):
        recordings = list(sets.make_set(name, short))
        words = sum(len(recording.words) for recording in recordings)
        seconds = sum(recording.seconds for recording in recordings)
        self.facts.setdefault(name, Facts(len(recordings), words, seconds))
        return recordings

    def _run(self, recordings, strategy, url):
        """All recordings, a few at a time: the last request of one leaves a core to the next."""
        paths = []
        for recording in recordings:
            paths.append(os.path.join(self.directory, recording.name + ".wav"))
            recording.write(paths[-1])
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            runs = [
                pool.submit(transcribe, path, url, strategy.settings, strategy.live)
                for path in paths
            ]
            heard = [run.result() for run in runs]
        for path in paths:
            os.unlink(path)
        return heard

    def listen(self, name, *strategies):
        recordings = self._make(name, short=True)
        for strategy in strategies:
            begin = time.monotonic()
            heard = self._run(recordings, strategy, self.service.url)
            texts = [" ".join(word.text for word in recording.words) for recording in recordings]
            scores = score([(text, one.text) for text, one in zip(texts, heard)])
            cell = Cell()
            for one, its_score in zip(heard, scores):
                cell += Cell(its_score, one.seconds, one.sent, one.requests, one.cuts, one.seams)
            self.cells[strategy, name] = cell
            print(
                f"{name}, {strategy.name}: {report.wer(cell)}, {cell.share:.0f} % sent, "
                f"{cell.requests} requests, {cell.score.repeats} repeats, "
                f"{time.monotonic() - begin:.0f} s",
                flush=True,
            )

    def cover(self, name):
        """Which words skipping would leave out: nobody needs to hear the rest."""
        recordings = self._make(name, short=False)
        heard = self._run(recordings, SKIPPED, self.service.deaf_url)
        found = Coverage()
        for recording, one in zip(recordings, heard):
            spans = one.skipped()
            found.seconds += one.seconds
            found.sent += one.sent
            for word in recording.words:
                missing = skipped_seconds(word, spans)
                found.words += 1
                found.lost += missing > (word.end - word.begin) / 2
                found.clipped += missing > 0.05
        self.coverage[name] = found
        print(f"{name}: {vars(found)}", flush=True)

    def pooled(self, strategy, names):
        return sum((self.cells[strategy, name] for name in names), Cell())

    def wer(self, strategy, names):
        return self.pooled(strategy, names).score.wer

    def extra_per_cut(self, strategy, names):
        """Per forced cut where the chunks overlap there, else per cut."""
        cell = self.pooled(strategy, names)
        whole = self.pooled(WHOLE, names)
        return (cell.score.errors - whole.score.errors) / max(cell.seams or cell.cuts, 1)


@dataclass
class Gate:
    text: str
    value: float
    limit: float
    at_least: bool = False
    unit: str = "points"

    @property
    def held(self):
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def gates(bench):
    def more(strategy, other, names):
        return bench.wer(strategy, names) - bench.wer(other, names)

    found = [Gate("blind cuts against whole, clean", more(BLIND, WHOLE, CLEAN), 3, at_least=True)]
    # What skipping does is judged where there is much to skip.
    for strategy in (FILE, SHORTER, LIVE_SENT):
        name = strategy.name
        found += [
            Gate(f"{name} against whole, clean", more(strategy, WHOLE, CLEAN), 1.0),
            Gate(f"{name} against whole, noise 20 dB", more(strategy, WHOLE, NOISY), 3.0),
            Gate(
                f"blind cuts against {name}, noise 20 dB",
                more(BLIND, strategy, NOISY),
                3.0,
                at_least=True,
            ),
        ]
    for strategy in (FORCED, FORCED_TEXT):
        value = bench.extra_per_cut(strategy, ["cont"])
        found.append(
            Gate(f"extra errors per forced cut: {strategy.name}", value, 0.4, unit="errors")
        )
        cell = bench.cells[strategy, "cont"]
        share = 100 * cell.seams / cell.cuts
        found.append(Gate(f"forced cuts: {strategy.name}", share, 90, at_least=True, unit="%"))
    found.append(
        Gate("text only against word times, forced cuts", more(FORCED_TEXT, FORCED, ["cont"]), 1.5)
    )
    gaps = [bench.coverage[name] for name in SAVING]
    share = 100 * sum(one.sent for one in gaps) / sum(one.seconds for one in gaps)
    found.append(Gate("share sent of the files with gaps", share, 45, unit="%"))
    found.append(
        Gate("silence skipped against everything sent", more(SKIPPED, SENT, STEADY_GAPS), 1.0)
    )
    for name, cover in bench.coverage.items():
        if name not in TOO_NOISY:
            lost = 100 * cover.lost / cover.words
            found.append(Gate(f"words in skipped spans, {name}", lost, 0.5, unit="%"))
    return found


def measure(bench):
    for name in (*CLEAN, *NOISY):
        bench.listen(name, *STRATEGIES)
    bench.listen("cont", *JOINS)
    for name in sets.SETS:
        if name.startswith("gaps-"):
            bench.cover(name)
    for name in SAVING:
        bench.listen(name, SENT, SKIPPED)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--recognizer", required=True)
    parser.add_argument("--answers")
    parser.add_argument("--write")
    options = parser.parse_args()

    begin = time.monotonic()
    recognizer = Recognizer(options.recognizer, os.cpu_count())
    memory = Memory(recognizer, options.answers, fingerprint(options.recognizer))
    service = Service(memory)
    try:
        with tempfile.TemporaryDirectory() as directory:
            bench = Bench(service, directory)
            measure(bench)
    finally:
        service.stop()
        memory.close()
        recognizer.stop()
    judged = gates(bench)
    print(f"\n{memory.decoded} chunks decoded, {time.monotonic() - begin:.0f} s\n")
    for gate in judged:
        print(f"{'ok    ' if gate.held else 'MISSED'} {gate.text}: {report.gate_value(gate)}")
    if options.write:
        with open(options.write, "w", encoding="utf-8") as file:
            file.write(report.document(bench, judged, sys.modules[__name__]))
    return 0 if all(gate.held for gate in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
