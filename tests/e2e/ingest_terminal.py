#!/usr/bin/python3
"""A pipeline in a terminal: python3 ingest_terminal.py PROGRAM, in a folder of its own."""
import json
import os
import signal
import subprocess
import sys

from terminal import Terminal

PROGRAM = sys.argv[1]
DEAD_PORT = "http://127.0.0.1:1/x"      # nothing listens there: a sink that is away


def expect(what, wanted, got):
    assert wanted == got, f"{what}: expected {wanted!r}, got {got!r}"


def balance(text):
    """The terminal has folded it."""
    text = text.replace("\n", "")
    return text[text.index("received = ") - 12:]


def view_and_polite_end():
    terminal = Terminal([PROGRAM, "ingest", "--source", "sim:sensors=10,rate=2000,malformed=0.05",
                         "--out", "rows.jsonl", "--step", "filter: value > 0"])
    terminal.until(r"^dead letters +\S+ +[▁-█]+ +[1-9]")
    terminal.until(r"^source sim +[1-9][0-9 ]* +[▁-█]+ ")
    text = terminal.text()
    for part in ("ingest: running", "channel +0%", "step filter", "sink jsonl", "lag +[0-9]"):
        terminal.until(part)
    assert terminal.colours > 0, "no colours"
    terminal.until(r"\A([^\n]*\n){7}[^\n]*\Z")  # all of the view, and no line more
    # smaller, and larger again: it never takes more lines than there are
    terminal.resize(40, 4)
    terminal.until(r"\A[^\n]*lines not s[^\n]*(\n[^\n]*)?\nsink jsonl +[0-9][^\n]*(\n[^\n]*)?\Z")
    terminal.resize(120, 30)
    terminal.until(r"^sink jsonl +[0-9][0-9 ]* +[▁-█ ]{40,} +[0-9]")
    terminal.type("\x03")
    expect("exit status after ^C", 0, terminal.end())
    text = terminal.text()
    assert "what is in flight is written; ^C again to hurry" in text, text
    assert " 0 in flight" in balance(text), text
    assert "refused rows are in ingest.dead.jsonl" in text, text
    assert "  sluice ingest replay ingest.dead.jsonl --out rows.jsonl" in text, text
    assert "rows/s" not in text, f"the view is still there:\n{text}"
    assert "\x1b[?25l" not in terminal.seen, "the cursor was hidden"


def hurry():
    words = [PROGRAM, "ingest", "--source", "sim:sensors=10,rate=2000", "--out", DEAD_PORT]
    terminal = Terminal(words, env={"NO_COLOR": "1"})
    terminal.until(r"^ingest: waiting")
    terminal.until(r"^sink http +0 +[▁-█]+ +0 +[1-9]")
    terminal.type("\x03")
    terminal.until(r"\^C again to hurry")
    terminal.type("\x03")
    expect("exit status after the second ^C", 130, terminal.end())
    text = terminal.text()
    expect("colours against NO_COLOR", 0, terminal.colours)
    assert "\nhurrying: " in text, f"the echo of ^C is still there:\n{text}"
    assert "dropped (given back " in balance(text) and " 0 in flight" in balance(text), text


def at_once():
    """A write into a pipe that is full and that nobody empties cannot be broken off, so it cannot hurry either."""
    os.mkfifo("stuck.jsonl")
    reader = os.open("stuck.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    terminal = Terminal([PROGRAM, "ingest", "--source", "sim:sensors=10,count=50000", "--out", "stuck.jsonl"])
    terminal.until(r"^source sim")
    terminal.type("\x03")
    terminal.until(r"\^C again to hurry")
    terminal.type("\x03")
    terminal.until(r"\^C again stops at once")
    terminal.type("\x03")
    status = terminal.end()  # by itself, or by the signal where the runtime had already gone
    assert status in (130, -signal.SIGINT), f"exit status after the third ^C: {status}"
    assert "rows/s" not in terminal.text(), f"the view is still there:\n{terminal.text()}"
    os.close(reader)


def plain_elsewhere():
    words = [PROGRAM, "ingest", "--source", "sim:sensors=10,count=3000,rate=2000", "--out", "p.jsonl"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "TERM": "xterm"})
    expect("exit status in a pipe", 0, done.returncode)
    expect("stdout in a pipe", "", done.stdout)
    expect("lines in a pipe", 1, len([line for line in done.stderr.splitlines() if "has held its loop for" not in line]))
    assert "\x1b" not in done.stderr and done.stderr.startswith("3 000 received"), done.stderr
    for more, env in ((["--quiet"], {}), ([], {"TERM": "dumb"})):
        terminal = Terminal([w.replace("p.jsonl", "q.jsonl") for w in words] + more, env=env)
        expect("exit status", 0, terminal.end())
        assert "\x1b" not in terminal.seen, terminal.seen
        assert terminal.text().startswith("3 000 received"), terminal.text()


def refused_start():
    with open("wrong.yaml", "w") as file:
        json.dump({"sources": ["sim"], "steps": [{"window": {"evry": "1m"}}], "sinks": ["x.jsonl"]}, file)
    done = subprocess.run([PROGRAM, "ingest", "wrong.yaml"], capture_output=True, text=True)
    expect("exit status of a wrong plan", 78, done.returncode)
    assert done.stderr.startswith("sluice: wrong.yaml:1: steps[0]: window: evry"), done.stderr


for part in (view_and_polite_end, hurry, at_once, plain_elsewhere, refused_start):
    part()
