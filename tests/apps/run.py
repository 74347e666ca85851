"""Runs the blocks of a page one after another, as one program, and prints what each has printed: a JSON list of texts."""

import contextlib
import io
import json
import sys

page = {"__name__": "__main__"}
printed = []
for at, block in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, at, "exec"), page)
    printed.append(out.getvalue())
print(json.dumps(printed))
