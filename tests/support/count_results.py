#!/usr/bin/env python3
"""Prints how many tests passed and failed: "N M", from the testlog.json files of meson test.

A TAP test counts as its cases, any other as one. Skipped tests count as neither.
"""

import json
import re
import sys


def count(entry):
    result = entry["result"]
    output = entry.get("stdout") or ""
    lines = re.findall(r"^(ok|not ok) \d+(?:.*# ?(SKIP|TODO))?", output, re.MULTILINE | re.I)
    good = sum(1 for state, directive in lines if state == "ok" and not directive)
    bad = sum(1 for state, directive in lines if state == "not ok" and not directive)
    if result == "SKIP":
        return 0, 0
    if result in ("OK", "EXPECTEDFAIL"):
        return max(good, 1), 0
    return good, max(bad, 1)


def main():
    good = bad = 0
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as log:
            for line in log:
                passed, failed = count(json.loads(line))
                good += passed
                bad += failed
    print(good, bad)


main()
