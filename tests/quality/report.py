"""docs/quality.md, out of what measure.py found."""

import textwrap

import sets


def wer(cell):
    score = cell.score
    parts = "/".join(
        f"{score.percent(count):.1f}"
        for count in (score.substitutions, score.deletions, score.insertions)
    )
    return f"{score.wer:.1f} ({parts})"


def gate_value(gate):
    sign = "≥" if gate.at_least else "≤"
    return f"{gate.value:.2f}, {sign} {gate.limit:g} {gate.unit}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


INTRODUCTION = """\
# Quality

What cutting, joining and skipping do to the words. This file is written by the benchmark:

    ninja -C build quality.md

The recogniser is [local-recognizer](../examples/local-recognizer): pocketsphinx with Debian's
English model, which depends on the audio alone. It makes many errors of its own and invents nothing
in silence as Whisper does, so only the *differences* between rows mean something: what is lost at
cuts, at seams and in skipped spans. A difference under 1 point is about a dozen words: read it
as none.

Every figure comes from real pipelines, `filesrc ! wavparse ! openaitranscribesink` (`appsrc` that
calls itself live for the live rows), with settings only. Word error rates are those of `sclite`, in
percent of the reference's words: errors (substitutions/deletions/insertions).

## Recordings

16 kHz, words at {speech:g} dBFS, under all of them a floor of white noise at {floor:g} dBFS.
`tests/quality/make_sets.py` writes them with their words' times. SEED is {seed}; each recording draws
from a Mersenne Twister seeded with the CRC-32 of `SEED/NAME`, so they are the same every time.
"""


def _sets(bench):
    rows = [
        [f"`{name}`", sets.SETS[name], facts.files, facts.words, f"{facts.seconds:.0f}"]
        for name, facts in bench.facts.items()
    ]
    return table(["Set", "What", "Files", "Words", "Seconds"], rows)


def _strategies(bench, plan):
    clean, noisy, strategies = plan.CLEAN, plan.NOISY, plan.STRATEGIES
    rows = []
    for strategy in strategies:
        cells = [bench.cells[strategy, name] for name in (*clean, *noisy)]
        pooled = [bench.pooled(strategy, names) for names in (clean, noisy)]
        every = bench.pooled(strategy, (*clean, *noisy))
        rows.append(
            [
                strategy.name,
                *map(wer, cells),
                *(f"{cell.score.wer:.1f}" for cell in pooled),
                f"{every.share:.0f} %",
                every.requests,
                every.score.repeats,
            ]
        )
    head = ["", *(f"`{name}`" for name in (*clean, *noisy)), "clean", "20 dB"]
    return table([*head, "sent", "requests", "5-grams twice"], rows)


def _joins(bench, plan):
    rows = []
    for strategy in plan.JOINS:
        cell = bench.cells[strategy, "cont"]
        extra = f"{bench.extra_per_cut(strategy, ['cont']):.2f}" if cell.cuts else ""
        rows.append(
            [
                strategy.name,
                wer(cell),
                cell.cuts or "",
                cell.seams or "",
                extra,
                f"{cell.share:.0f} %",
                cell.score.repeats,
            ]
        )
    head = ["word errors", "cuts", "forced, with overlap", "extra errors per cut"]
    return table(["`cont`", *head, "sent", "5-grams twice"], rows)


def _skipping(bench, plan):
    rows = []
    for name in plan.SAVING:
        sent, skipped = bench.cells[plan.SENT, name], bench.cells[plan.SKIPPED, name]
        rows.append(
            [
                f"`{name}`",
                wer(sent),
                wer(skipped),
                f"{skipped.share:.0f} %",
                f"{sent.requests} → {skipped.requests}",
            ]
        )
    pooled = [bench.pooled(strategy, plan.STEADY_GAPS) for strategy in (plan.SENT, plan.SKIPPED)]
    first = [f"{name.removeprefix('gaps-')}" for name in plan.STEADY_GAPS]
    rows.append(
        [
            ", ".join(first) + " together",
            *map(wer, pooled),
            f"{pooled[1].share:.0f} %",
            f"{pooled[0].requests} → {pooled[1].requests}",
        ]
    )
    return table(["", "everything sent", "silence skipped", "audio sent", "requests"], rows)


def _coverage(bench):
    rows = []
    for name, cover in bench.coverage.items():
        rows.append(
            [
                f"`{name}`",
                cover.words,
                f"{cover.lost} ({100 * cover.lost / cover.words:.2f} %)",
                f"{cover.clipped}",
                f"{100 * cover.sent / cover.seconds:.0f} %",
            ]
        )
    return table(["", "words", "in skipped spans", "touched by more than 50 ms", "audio sent"], rows)


def _gates(judged):
    rows = [
        [
            gate.text,
            f"{gate.value:.2f}",
            f"{'≥' if gate.at_least else '≤'} {gate.limit:g} {gate.unit}",
            "held" if gate.held else "**missed**",
        ]
        for gate in judged
    ]
    return table(["", "found", "wanted", ""], rows)


def _about_sets():
    def listed(values):
        return ", ".join(map(str, values))

    text = (
        "The utterances of `lv` are the five of pocketsphinx-testdata, with pauses of "
        f"{listed(sets.LIBRIVOX_PAUSES)} s between them. The story of `tts` is read by flite's voices "
        f"{listed(sets.VOICES)}, with pauses of {listed(sets.STORY_PAUSES)} s between its sentences; in "
        f"`cont` every pause is cut to {1000 * sets.LONGEST_PAUSE_OF_CONT:.0f} ms. The files with gaps "
        f"hold the same utterances and sentences {sets.GAPS[0]:g} to {sets.GAPS[1]:g} s apart. There "
        "espeak-ng reads the story, too; the recogniser, which gets four of five of its words wrong, "
        "hears four LibriVox files and a fifth of the story from each voice of flite.\n"
    )
    return textwrap.fill(text, 100, break_on_hyphens=False) + "\n"


def document(bench, judged, plan):
    return "\n".join(
        [
            INTRODUCTION.format(speech=sets.SPEECH_DBFS, floor=sets.FLOOR_DBFS, seed=sets.SEED),
            _sets(bench),
            _about_sets(),
            "## Cuts\n",
            _strategies(bench, plan),
            "## Joins\n\nSpeech that leaves no pause to cut in. Where two chunks overlap, the words "
            "are joined by their times, or by the text alone; extra errors are counted per forced "
            "cut there, else per cut.\n",
            _joins(bench, plan),
            "## Silence\n",
            _skipping(bench, plan),
            "In steady noise (`gaps-pink20`) this recogniser does better with the stretches between "
            "the words left in. No\nword lies in a skipped span; probably it learns the noise there.\n",
            "Where the reference's words are, with skipping on:\n",
            _coverage(bench),
            "## Gates\n\nThe benchmark fails where one is missed. Live cuts are judged with everything "
            "sent; the live default, which skips\nsilence too, is more than 3 points above whole at "
            "20 dB.\n",
            _gates(judged),
        ]
    )
