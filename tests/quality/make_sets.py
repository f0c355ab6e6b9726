#!/usr/bin/env python3
"""Writes the recordings of tests/quality: NAME.wav, NAME.txt (the words), NAME.tsv (word, begin, end
in seconds).

usage: make_sets.py DIRECTORY [SET...]     all sets without SET
       make_sets.py --list
"""

import os
import sys

import sets


def write_all(directory, names, short=False):
    os.makedirs(directory, exist_ok=True)
    for name in names:
        count, words, seconds = 0, 0, 0.0
        for recording in sets.make_set(name, short):
            path = os.path.join(directory, recording.name)
            recording.write(path + ".wav")
            with open(path + ".txt", "w", encoding="utf-8") as file:
                file.write(" ".join(word.text for word in recording.words) + "\n")
            with open(path + ".tsv", "w", encoding="utf-8") as file:
                for word in recording.words:
                    file.write(f"{word.text}\t{word.begin:.3f}\t{word.end:.3f}\n")
            count += 1
            words += len(recording.words)
            seconds += recording.seconds
        print(f"{name}: {count} files, {words} words, {seconds:.0f} s")


def main():
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        for name, text in sets.SETS.items():
            print(f"{name:16} {text}")
        return 0
    unknown = [name for name in arguments[1:] if name not in sets.SETS]
    if not arguments or arguments[0].startswith("-") or unknown:
        print(f"unknown set: {unknown[0]}" if unknown else __doc__.strip(), file=sys.stderr)
        return 2
    write_all(arguments[0], arguments[1:] or sets.SETS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
