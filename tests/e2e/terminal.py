"""A terminal for tests: a program runs in it, and what a person would see is asked for.

It knows what programs that draw in place use (CR, LF, ESC[nA, ESC[K, ESC[J, colours) and fails on any other
escape sequence. A program that left something behind is seen by what stands on the screen at the end.
"""
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Terminal:
    def __init__(self, words, columns=100, rows=24, env=None):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column = [""], 0, 0
        self.seen, self.rest, self.colours = "", "", 0
        self.decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")  # a character may come in two pieces
        self.most_lines = 0
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", "LC_ALL": "C.UTF-8"})
            os.environ.pop("NO_COLOR", None)
            os.environ.update(env or {})
            os.execvp(words[0], words)
        self.resize(columns, rows)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def _line_feed(self):
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")
        if self.row >= self.rows:          # scrolled away for good
            self.lines = self.lines[-self.rows:]
            self.row = self.rows - 1

    def _control(self, number, letter):
        if letter == "m":
            self.colours += 1
        elif letter == "A":
            self.row = max(0, self.row - int(number or 1))
        elif letter == "K":
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif letter == "J":
            self.lines[self.row] = self.lines[self.row][:self.column]
            del self.lines[self.row + 1:]
        else:
            raise AssertionError(f"an escape sequence that no one expects: {number}{letter}")

    def _put(self, char):
        if self.column >= self.columns:    # it folds
            self._line_feed()
            self.column = 0
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[:self.column] + char + line[self.column + 1:]
        self.column += 1

    def _feed(self, text):
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                match = SEQUENCE.match(text, at)
                if not match:
                    self.rest = text[at:]
                    return
                self._control(match[1], match[2])
                at = match.end()
                continue
            if text[at] == "\r":
                self.column = 0
            elif text[at] == "\n":
                self._line_feed()
            elif text[at] == "\a":
                pass
            else:
                self._put(text[at])
            at += 1
        self.rest = ""

    def read(self, seconds):
        """What comes within SECONDS; False at the end of it all."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        if not data:
            return False
        text = self.decoder.decode(data)
        self.seen += text
        self._feed(self.rest + text)
        return True

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines).rstrip()

    def until(self, pattern, seconds=60):
        """Read until the screen matches; the match."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.text(), re.M)
            if match:
                return match
            if time.monotonic() > deadline or not self.read(0.2):
                match = re.search(pattern, self.text(), re.M)
                assert match, f"no {pattern!r} on the screen:\n{self.text()}"
                return match

    def end(self, seconds=60):
        """Read to the end; the exit status, or minus a signal."""
        deadline = time.monotonic() + seconds
        while self.read(0.2):
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"it has not ended:\n{self.text()}")
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)
