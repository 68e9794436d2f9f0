"""Pictures beside sharp, FastAPI with Pillow, vipsthumbnail and plain libvips: `make bench T=image`.

Everything gets both processors, the load too, as on a machine of two. The pictures are made once by
libvips' command line: soft noise and edges, which JPEG packs about as it packs a photograph. The
reference program is no part of the project, and is left out where it is not beside the checkout.
"""

import contextlib
import glob
import os
import re
import shutil
import subprocess
import threading
import time

from harness import (OUT, PYTHON, RESULTS, ROOT, SECONDS, SLUICE, Engine, Measure, Server, Skip, answers,
                     free_port, wait_until)

REFERENCE = os.path.join(ROOT, "..", "shared", "reference", "image_api.py")
LOAD = f"{OUT}/image/load"
BOX = f"{OUT}/image/box"
BOTH = "0-1" if (os.cpu_count() or 1) > 1 else "0"
SIZES = {"12": (4000, 3000), "2": (1920, 1080)}
REST_S = 12   # after a burst
AT_ONCE = 4  # pictures that are asked for at once


# ---- pictures ---------------------------------------------------------------------------------------

def picture(megapixels):
    """A JPEG of that many megapixels, made once below build/bench."""
    path = os.path.join(RESULTS, f"picture-{megapixels}.jpg")
    if os.path.exists(path):
        return path
    if not shutil.which("vips"):
        raise Skip("libvips' command line is not installed")
    width, height = SIZES[megapixels]
    os.makedirs(RESULTS, exist_ok=True)
    base = os.path.join(RESULTS, "part")

    def vips(*words):
        subprocess.run(["vips", *map(str, words)], check=True, capture_output=True)

    for band in range(3):
        vips("worley", f"{base}.w.v", width, height, "--cell-size", 200 + 97 * band, "--seed", band)
        vips("perlin", f"{base}.p.v", width, height, "--cell-size", 64 + 31 * band, "--seed", band)
        vips("linear", f"{base}.p.v", f"{base}.l.v", 90, 100)
        vips("add", f"{base}.w.v", f"{base}.l.v", f"{base}.{band}.v")
    vips("bandjoin", " ".join(f"{base}.{band}.v" for band in range(3)), f"{base}.rgb.v")
    vips("gaussnoise", f"{base}.n.v", width, height, "--sigma", 6)
    vips("add", f"{base}.rgb.v", f"{base}.n.v", f"{base}.sum.v")
    vips("cast", f"{base}.sum.v", f"{base}.u.v", "uchar")
    vips("copy", f"{base}.u.v", f"{base}.s.v", "--interpretation", "srgb")
    vips("jpegsave", f"{base}.s.v", path, "--Q", 85)
    for part in glob.glob(f"{base}.*"):
        os.unlink(part)
    return path


# ---- servers ----------------------------------------------------------------------------------------

class Ours(Engine):
    cpu = BOTH
    path, health = "/v1/run/image?width=320&format=jpeg&quality=80", "/healthz"

    def __init__(self):
        super().__init__("memory:", "--workers", "1")


class Sharp(Server):
    cpu = BOTH
    path, health = "/thumbnail?w=320", "/healthz"

    def __init__(self):
        if not shutil.which("node"):
            raise Skip("node is not installed")
        super().__init__(["node", os.path.join(ROOT, "bench/rivals/sharp_rival.js")],
                         env=dict(os.environ, NODE_PATH=sharp_home()))


class FastApi(Server):
    cpu = BOTH
    path, health = "/thumbnail?w=320", "/healthz"

    def __init__(self, pool):
        if not os.path.exists(REFERENCE):
            raise Skip("the reference program is not here")
        if subprocess.run([PYTHON, "-c", "import fastapi, uvicorn, PIL, aiohttp, multipart"],
                          capture_output=True).returncode:
            raise Skip("FastAPI or Pillow is not installed")
        port = free_port()
        super().__init__([PYTHON, REFERENCE, str(port)], port=port, env=dict(os.environ, POOL=pool))

    def __enter__(self):
        super().__enter__()
        wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/healthz"))
        return self


def sharp_home():
    """sharp, installed once below build/."""
    home = os.path.join(RESULTS, "node")
    if not os.path.exists(os.path.join(home, "node_modules", "sharp")):
        if not shutil.which("npm"):
            raise Skip("npm is not installed")
        os.makedirs(home, exist_ok=True)
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", home, "sharp"],
                              capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise Skip("npm cannot install sharp here")
    return os.path.join(home, "node_modules")


def load(server, path, body="-", connections=AT_ONCE, seconds=SECONDS, rate=None):
    """Answers a second, median and 99th percentile in ms."""
    words = [LOAD, str(server.port), path, body, str(connections), str(seconds)]
    done = subprocess.run(words + ([str(rate)] if rate else []), capture_output=True, text=True,
                          timeout=seconds + 120)
    if done.returncode:
        raise Skip((done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1])
    return [float(word) for word in done.stdout.split()]


@contextlib.contextmanager
def resizing(server, megapixels="12"):
    """Pictures are asked for all the while; SECONDS and a little."""
    body = picture(megapixels)
    load(server, server.path, body, seconds=0.5)
    thread = threading.Thread(target=lambda: contextlib.suppress(Skip) and load_quietly(server, body))
    thread.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        thread.join()


def load_quietly(server, body):
    with contextlib.suppress(Skip):
        load(server, server.path, body, seconds=SECONDS + 2)


# ---- what is measured -------------------------------------------------------------------------------

def pictures(make, megapixels):
    def run():
        body = picture(megapixels)
        with make() as server:
            load(server, server.path, body, seconds=1)
            return load(server, server.path, body)[0]
    return run


def plain_vips(megapixels):
    def run():
        body = picture(megapixels)
        program = os.path.join(RESULTS, "rival-vips")
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "vips"], capture_output=True, text=True)
        if flags.returncode:
            raise Skip("libvips is not installed")
        subprocess.run(["cc", "-O2", os.path.join(ROOT, "bench/image/rival_vips.c"), *flags.stdout.split(), "-o",
                        program], check=True, capture_output=True)
        done = subprocess.run([program, body, str(max(1, int(SECONDS * 15))), "2"], capture_output=True, text=True,
                              timeout=300, env=dict(os.environ, VIPS_CONCURRENCY="1"))
        if done.returncode:
            raise Skip(done.stderr.strip())
        return float(done.stdout.split()[0])
    return run


def vipsthumbnail(megapixels):
    """libvips' own command, a process for each processor, each with one file given again and again."""
    def run():
        body, each = picture(megapixels), max(2, int(SECONDS * 10))
        if not shutil.which("vipsthumbnail"):
            raise Skip("vipsthumbnail is not installed")
        began = time.monotonic()
        running = [subprocess.Popen(["vipsthumbnail", "-s", "320x100000",
                                     "-o", os.path.join(RESULTS, f"{who}-%s.jpg[Q=80]")] + [body] * each,
                                    env=dict(os.environ, VIPS_CONCURRENCY="1")) for who in ("one", "two")]
        for process in running:
            if process.wait(timeout=300):
                raise Skip(f"vipsthumbnail ended with {process.returncode}")
        return 2 * each / (time.monotonic() - began)
    return run


def shared(measure):
    """MEASURE gives several figures at once: each is read by a row of its own, from the same run."""
    kept = {}

    def reader(which):
        def run():
            rows = kept.setdefault(which, [])
            if not rows:
                figures = measure()
                for other in kept:
                    kept[other].append(figures[other])
            return rows.pop(0)
        kept.setdefault(which, [])
        return run
    return reader


def health(make):
    def run():
        with make() as server, resizing(server):
            return load(server, server.health, connections=1)
    return run


def waiting(is_busy):
    """The 99th percentile of requests that wait for 100 ms, 500 a second."""
    def run():
        argument = os.path.join(RESULTS, "sleep.json")
        with open(argument, "w", encoding="ascii") as file:
            file.write('{"for":"100ms"}')
        with Ours() as server, (resizing(server) if is_busy else contextlib.nullcontext()):
            return load(server, "/v1/run/sleep", argument, connections=128, rate=500)[2]
    return run


def tree(pid):
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                pids += map(int, open(f"/proc/{one}/task/{task}/children", encoding="ascii").read().split())
    return pids


def memory(server):
    """MB of the process and all below it, what they share counted once."""
    total = 0
    for pid in tree(server.process.pid):
        with contextlib.suppress(OSError):
            for line in open(f"/proc/{pid}/smaps_rollup", encoding="ascii"):
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1000


def resident(make):
    """The most under load, and what is left REST_S later above what was there after one picture."""
    def run():
        with make() as server:
            load(server, server.path, picture("12"), connections=1, seconds=0.1)
            time.sleep(1)
            before, most = memory(server), 0.0
            with resizing(server):
                end = time.monotonic() + SECONDS
                while time.monotonic() < end:
                    most = max(most, memory(server))
                    time.sleep(0.05)
            time.sleep(REST_S)
            return most, max(0.1, memory(server) - before)
    return run


def box(words, which):
    def run():
        done = subprocess.run([BOX, *words], capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise Skip((done.stderr.strip() or "no figure").splitlines()[-1])
        return float(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", done.stdout)[which])
    return run


def servers(measure, *words):
    return [("sluice", measure(Ours, *words)), ("sharp, Node", measure(Sharp, *words)),
            ("FastAPI, processes", measure(lambda: FastApi("process"), *words)),
            ("FastAPI, threads", measure(lambda: FastApi("thread"), *words))]


def several(measure, *whiches):
    """The servers of a row, for each of the figures that MEASURE gives at once."""
    readers = [(who, shared(run)) for who, run in servers(measure)]
    return [[(who, reader(which)) for who, reader in readers] for which in whiches]


def image_measures():
    p50, p99 = several(health, 1, 2)
    most, left = several(resident, 0, 1)
    return [
        Measure("image", "12-megapixel JPEG to 320 px over HTTP", "pictures/s", False, ">= sharp",
                servers(pictures, "12") + [("plain libvips, no HTTP", plain_vips("12")),
                                          ("vipsthumbnail, no HTTP", vipsthumbnail("12"))]),
        Measure("image", "2-megapixel JPEG to 320 px over HTTP", "pictures/s", False, ">= sharp",
                servers(pictures, "2") + [("plain libvips, no HTTP", plain_vips("2")),
                                          ("vipsthumbnail, no HTTP", vipsthumbnail("2"))]),
        Measure("image", "/healthz while both processors resize, p50", "ms", True, "<= 0.3", p50),
        Measure("image", "/healthz while both processors resize, p99", "ms", True, "<= 2.4", p99),
        Measure("image", "500 requests/s that wait 100 ms, p99, while both resize", "ms", True, "<= 105",
                [("sluice", waiting(True)), ("sluice, nothing beside", waiting(False))]),
        Measure("image", "memory under load, with all processes", "MB", True, "<= 110", most),
        Measure("image", "memory kept afterwards", "MB", True, "<= 20", left),
        Measure("image", "a box for a job of 1 KiB, p50", "us", True, "<= 150",
                [("sluice", box(["one", "1024", "20000"], 0))]),
        Measure("image", "jobs of 1 KiB through two boxes", "jobs/s", False, ">= 10000",
                [("sluice", box(["many", "1024", "20000", "2", "16"], 0))]),
    ]
