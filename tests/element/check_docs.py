#!/usr/bin/env python3
"""Holds docs/element.md against what gst-inspect-1.0 and the sources say about the element.

Usage: check_docs.py DOCS SOURCE_DIRECTORY
"""

import pathlib
import re
import subprocess
import sys

ELEMENT = "openaitranscribesink"
INHERITED = {
    "async", "blocksize", "enable-last-sample", "last-sample", "max-bitrate", "max-lateness",
    "name", "parent", "processing-deadline", "qos", "render-delay", "sync", "throttle-time",
    "ts-offset",
}
TYPES = {
    "String": "string", "Boolean": "boolean", "Unsigned Integer": "uint", "Integer": "int",
    "Unsigned Integer64": "uint64", "Double": "double",
}
EFFECTS = {
    " Takes effect at the next start.": "start",
    " Takes effect at once, also while playing.": "playing",
}


def number(text):
    value = float(text)
    return str(int(text)) if re.fullmatch(r"-?\d+", text) else f"{value:g}"


def parse_value(lines):
    """Type, default and range or values of one property, as the documentation writes them."""
    head = lines[0]
    nicks = [match[1] for line in lines[1:]
             if (match := re.match(r"\s+\((?:0x)?[0-9a-f]+\): (\S+)", line))]
    if match := re.match(r'(Enum|Flags) ".*" Default: \S+, "(.*)"', head):
        default = "none" if match[2] == "(none)" else match[2]
        return match[1].lower(), default, ", ".join(nicks)
    if any("GstValueArray" in line for line in lines):
        return "array", "", ""
    if "GstStructure" in head:
        return "structure", "", ""
    if match := re.match(r"String\. Default: (?:null|\"(.*)\")", head):
        return "string", match[1] or "", ""
    if match := re.match(r"(.*)\. Range:\s+(\S+) -\s+(\S+) Default:\s+(\S+)", head):
        low, high, default = (number(text) for text in match.groups()[1:])
        return TYPES[match[1]], default, f"{low} – {high}"
    match = re.match(r"(.*)\. Default: (\S+)", head)
    return TYPES[match[1]], match[2], ""


def inspect():
    run = subprocess.run(["gst-inspect-1.0", "--no-colors", ELEMENT], check=False,
                         capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"gst-inspect-1.0 {ELEMENT} failed:\n{run.stdout}{run.stderr}")
    section = run.stdout.split("Element Properties:\n")[1].split("\nElement Actions:")[0]
    properties = {}
    for block in re.split(r"\n(?=  \S)", section.strip("\n")):
        lines = [line.strip("\n") for line in block.strip("\n").split("\n") if line.strip()]
        name, blurb = (part.strip() for part in lines[0].split(":", 1))
        if name in INHERITED:
            continue
        flags = lines[1].strip()
        effect = "read-only" if "writable" not in flags else None
        for sentence, key in EFFECTS.items():
            if blurb.endswith(sentence):
                blurb, effect = blurb[: -len(sentence)], key
        playing = "PLAYING" in flags
        if effect != "read-only" and playing != (effect == "playing"):
            raise SystemExit(f"{name}: the blurb and the flags differ on when it takes effect")
        kind, default, values = parse_value([line.strip() for line in lines[2:3]] + lines[3:])
        properties[name] = (kind, default, values, effect, blurb.rstrip("."))
    return properties


def documented(text):
    properties = {}
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        match = re.fullmatch(r"`([a-z0-9-]+)`", cells[0])
        if not match or len(cells) != 6:
            continue
        if match[1] in properties:
            raise SystemExit(f"{match[1]} is documented twice")
        kind, default, values, effect, blurb = (cell.replace("`", "") for cell in cells[1:])
        properties[match[1]] = (kind, default, values, effect, blurb.rstrip("."))
    return properties


def check_messages(text, sources):
    """The messages' names, and that every documented field is one that the sources know."""
    pattern = r"openaitranscribe/[a-z]+(?:-[a-z]+)*"
    problems = []
    posted = set(re.findall(pattern, sources))
    named = set(re.findall(pattern, text))
    if posted != named:
        problems.append(f"messages that only one side has: {sorted(posted ^ named)}")
    section = text.split("## Messages")[1].split("\n## ")[0]
    for line in section.split("\n"):
        cells = line.strip().strip("|").split("|")
        if len(cells) < 2 or "`" not in cells[0]:
            continue
        for field in re.findall(r"`([a-z]+(?:-[a-z]+)*)`", cells[1]):
            if f'"{field}"' not in sources:
                problems.append(f"no source sets the field {field} of {cells[0].strip()}")
    return problems


def main():
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    sources = "\n".join(path.read_text(encoding="utf-8")
                        for path in sorted(pathlib.Path(sys.argv[2]).glob("*.cpp")))
    actual, expected = inspect(), documented(text)
    problems = [f"not documented: {name}" for name in sorted(actual.keys() - expected.keys())]
    problems += [f"no such property: {name}" for name in sorted(expected.keys() - actual.keys())]
    for name in sorted(actual.keys() & expected.keys()):
        for what, said, real in zip(("type", "default", "values", "changes", "meaning"),
                                    expected[name], actual[name]):
            if said != real:
                problems.append(f"{name}: {what} is {real!r}, the documentation says {said!r}")
    problems += check_messages(text, sources)
    print("\n".join(problems) or f"{len(actual)} properties and all messages are as documented")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
