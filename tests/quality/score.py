"""Word errors by sclite, and what it does not count."""

import collections
import os
import subprocess
import tempfile
from dataclasses import dataclass


@dataclass
class Score:
    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    repeats: int = 0  # 5-grams that are there more often than they were said

    @property
    def errors(self):
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self):
        return 100 * self.errors / self.words

    def percent(self, count):
        return 100 * count / self.words

    def __add__(self, other):
        return Score(*(a + b for a, b in zip(vars(self).values(), vars(other).values())))


# The model's dictionary knows both.
_SPELLINGS = {"mr": "mister"}


def _spelled_alike(text):
    return " ".join(_SPELLINGS.get(word, word) for word in text.lower().split())


def _grams(words):
    return collections.Counter(zip(*(words[i:] for i in range(5))))


def repeats(reference, heard):
    said = _grams(reference)
    return sum(max(0, n - max(1, said[gram])) for gram, n in _grams(heard).items())


def score(pairs):
    """The Score of each (reference, heard) pair of texts."""
    pairs = [(reference, _spelled_alike(heard)) for reference, heard in pairs]
    with tempfile.TemporaryDirectory() as directory:
        paths = [os.path.join(directory, name) for name in ("reference", "heard")]
        for side, path in enumerate(paths):
            with open(path, "w", encoding="utf-8") as file:
                for number, pair in enumerate(pairs):
                    file.write(f"{pair[side]} (r{number:04}-1)\n")
        done = subprocess.run(
            ["sctk", "sclite", "-r", paths[0], "trn", "-h", paths[1], "trn", "-i", "rm",
             "-o", "rsum", "stdout"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = {}
    for line in done.stdout.splitlines():
        fields = line.replace("|", " ").split()
        # Speaker, sentences, words, correct, substitutions, deletions, insertions, errors, ...
        if len(fields) == 9 and fields[0].startswith("r") and fields[0][1:].isdigit():
            found[int(fields[0][1:])] = [int(field) for field in fields[2:7]]
    assert len(found) == len(pairs), done.stdout
    scores = []
    for number, (reference, heard) in enumerate(pairs):
        words, _, substitutions, deletions, insertions = found[number]
        assert words == len(reference.split()), reference
        repeated = repeats(reference.split(), heard.split())
        scores.append(Score(words, substitutions, deletions, insertions, repeated))
    return scores
