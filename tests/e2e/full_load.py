"""
Load of every cost at once, by as many clients as keep every line full, and a look at what an operator looks at.

No figure of time is asserted: the watchdog's own counter says whether a loop was held.
"""

import http.client
import json
import re
import struct
import sys
import threading
import time
import urllib.parse
import zlib

ADDRESS = urllib.parse.urlsplit(sys.argv[1]).netloc
IS_SLOW = "slow" in sys.argv[2:]  # a sanitizer is in the program: a fiber may take long for its work
HAS_PICTURES = "pictures" in sys.argv[2:]
ROUNDS = 25
COME_AGAIN = (429, 503, 504) if IS_SLOW else (429,)  # the start of a box has its limit, and so has a run
mistakes, counts, lock = [], {}, threading.Lock()


def picture(width, height):
    rows = b"".join(b"\0" + bytes((x * y) & 255 for x in range(width * 3)) for y in range(height))

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + part(b"IDAT", zlib.compress(rows, 1)) + part(b"IEND", b""))


def ask(connection, method, path, body=None, kind="application/json"):
    connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def client(name, path, body, kind, expected):
    """Ask again and again; what is refused must say when to come again."""
    try:
        connection = http.client.HTTPConnection(ADDRESS, timeout=120)
        left = ROUNDS
        while left:
            status, headers, text = ask(connection, "POST", path, body, kind)
            with lock:
                counts[name, status] = counts.get((name, status), 0) + 1
            if status not in (expected, *COME_AGAIN) or (status == 429 and int(headers["Retry-After"]) < 1):
                raise AssertionError(f"{status} {text[:300]!r}")
            left -= status == expected
            time.sleep(0.02 * (status != expected))
    except Exception as error:  # a thread's failure is the test's
        mistakes.append(f"{name}: {error!r}")


def number(text, name):
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? ([0-9.e+-]+)$", text, re.M))


def look(connection):
    status, _, _ = ask(connection, "GET", "/healthz")
    assert status == 200, status
    status, _, text = ask(connection, "GET", "/metrics")
    assert status == 200, status
    text = text.decode()
    for now, most in (("sluice_type_running", "sluice_type_limit"), ("sluice_burns_running", "sluice_burn_slots"),
                      ("sluice_boxes_busy", "sluice_boxes_most"), ("sluice_offload_busy", "sluice_offload_threads"),
                      ("sluice_box_memory_reserved_bytes", "sluice_box_memory_bytes")):
        assert number(text, now) <= number(text, most), (now, number(text, now), number(text, most))
    return text


def is_over(text):
    return all(number(text, name) == 0 for name in (
        "sluice_type_running", "sluice_type_waiting", "sluice_burns_running", "sluice_burn_waiting", "sluice_boxes_busy",
        "sluice_box_waiting", "sluice_box_memory_reserved_bytes", "sluice_offload_busy", "sluice_offload_queued"))


def main():
    heavy = json.dumps({"data": "x", "rounds": 30000})
    crowd = []
    for name, path, body, kind, expected, clients in (
            ("digest", "/v1/run/digest", heavy, "application/json", 200, 8),
            ("picture", "/v1/run/image?width=100&format=jpeg", picture(640, 480), "image/png", 200, 8),
            ("box", "/v1/run/rogue", '{"data":"x"}', "application/json", 200, 4),
            ("program", "/v1/run/again", '{"data":"x"}', "application/json", 200, 4),
            ("job", "/ojs/v1/jobs", json.dumps({"type": "digest", "args": [json.loads(heavy)]}), "application/json", 201, 2)):
        if name == "picture" and not HAS_PICTURES:
            continue
        crowd += [threading.Thread(target=client, args=(name, path, body, kind, expected)) for _ in range(clients)]
    for thread in crowd:
        thread.start()
    connection = http.client.HTTPConnection(ADDRESS, timeout=120)
    looks = 0
    while any(thread.is_alive() for thread in crowd):
        look(connection)
        looks += 1
    for thread in crowd:
        thread.join()
    text = look(connection)
    while not is_over(text):
        text = look(connection)
    if mistakes:
        sys.exit("\n".join(mistakes))
    assert number(text, "sluice_burn_run_seconds_count") > 0 and number(text, "sluice_box_run_seconds_count") > 0, text
    print(counts, looks, "looks")
    stalls = number(text, "sluice_loop_stalls_total")
    if stalls and not IS_SLOW:
        sys.exit(f"the watchdog has seen {stalls:g} fibers that held their loop")


main()
