"""What the lints share: which files are ours, and C text without comments and strings.

The lints look at the tree they are started in, so that their tests can start them in a small one
(tests/lint/NAME/bad). What lies below tests/lint and tests/corpus is bad on purpose and never looked at.
"""
import os
import re

ROOTS = ("src", "include", "tests", "examples", "bench", "tools", "docs", "packaging")
SKIP = ("tests/lint", "tests/corpus", "tests/golden")


def files(*endings, roots=ROOTS):
    """The paths below the roots that end in one of the endings, sorted."""
    found = []
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = [f for f in folders if os.path.join(folder, f) not in SKIP and f != "__pycache__"]
            found += [os.path.join(folder, n) for n in names if n.endswith(endings)]
    return sorted(found)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)


def code_of(text):
    """The text with blanks for comments and strings; line breaks stay, so that line numbers are true."""
    return TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def lines(text):
    """(number, line) from 1."""
    return enumerate(text.split("\n"), 1)


def allow_list(path):
    """Rows `what: why` of an allow-list beside the lints, as a dict; `#` starts a comment."""
    rows = {}
    if os.path.exists(path):
        for _, line in lines(read(path)):
            line = line.split("#", 1)[0].strip()
            if line:
                what, _, why = line.partition(": ")
                rows[what.strip()] = why.strip()
    return rows


def report(complaints):
    """Prints them and returns the exit code."""
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0
