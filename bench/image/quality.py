#!/usr/bin/python3
"""How far small pictures are from the truth: PSNR in decibels, and SSIM.

    bench/image/quality.py [WIDTH...] -- FILE...

The truth is the whole picture, resampled by libvips with Lanczos of three lobes and in floats. Beside it come ours
(as it is, and `careful`), sharp and vipsthumbnail, all written as PNG, so that no second loss is measured. sharp is
left out where `make bench T=image` has not installed it.

SSIM is that of Wang, Bovik, Sheikh and Simoncelli ("Image Quality Assessment: From Error Visibility to Structural
Similarity", IEEE Transactions on Image Processing 13:4, 2004): of luma, in windows of 11 by 11 weighted by a Gaussian
of 1.5, where the window lies inside the picture; 1 is the same picture.
"""
import array
import math
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLUICE = os.environ.get("SLUICE", os.path.join(ROOT, "build", "sluice"))
MODULES = os.path.join(ROOT, "build", "bench", "node", "node_modules")
WINDOW, SIGMA, C1, C2 = 11, 1.5, (0.01 * 255) ** 2, (0.03 * 255) ** 2  # SSIM's
SHARP = "require('sharp')(process.argv[1]).resize(Number(process.argv[2])).png().toFile(process.argv[3])"


def run(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **more).stdout


def header(path, field):
    return int(run("vipsheader", "-f", field, path))


def truth(source, width, out, folder):
    part = os.path.join(folder, "part.v")
    height = header(source, "height")
    run("vips", "cast", source, part, "float")
    run("vips", "resize", part, part + ".r.v", width / header(source, "width"), "--vscale",
        round(height * width / header(source, "width")) / height, "--gap", 0)
    run("vips", "round", part + ".r.v", part, "rint")
    run("vips", "cast", part, out, "uchar")


def decibels(one, other, folder):
    """PSNR of two pictures of the same size."""
    part = os.path.join(folder, "part.v")
    bands = min(header(one, "bands"), header(other, "bands"))
    run("vips", "extract_band", one, part + ".a.v", 0, "--n", bands)
    run("vips", "extract_band", other, part + ".b.v", 0, "--n", bands)
    run("vips", "subtract", part + ".a.v", part + ".b.v", part)
    run("vips", "multiply", part, part, part + ".s.v")
    mean = float(run("vips", "avg", part + ".s.v"))
    return 99.9 if mean == 0 else 10 * math.log10(255 * 255 / mean)


def floats(path, width, height):
    """The values of a picture of one band, without the WINDOW / 2 pixels at each border."""
    run("vips", "cast", path, path + ".f.v", "float")
    run("vips", "rawsave", path + ".f.v", path + ".raw")
    values = array.array("f")
    with open(path + ".raw", "rb") as f:
        values.frombytes(f.read())
    side = WINDOW // 2
    return [values[y * width + x] for y in range(side, height - side) for x in range(side, width - side)]


def ssim(one, other, folder):
    """The mean of SSIM over two pictures of the same size."""
    width, height = header(one, "width"), header(one, "height")
    names = {name: os.path.join(folder, f"ssim-{name}.v") for name in ("a", "b", "aa", "bb", "ab")}
    for name, path in (("a", one), ("b", other)):
        run("vips", "colourspace", path, names[name] + ".l.v", "b-w")
        run("vips", "extract_band", names[name] + ".l.v", names[name] + ".o.v", 0)
        run("vips", "cast", names[name] + ".o.v", names[name], "float")
    for name in ("aa", "bb", "ab"):
        run("vips", "multiply", names[name[0]], names[name[1]], names[name])
    means = {}
    for name, path in names.items():
        # Weights below a thousandth end the mask: at 1.5, that leaves 11.
        run("vips", "gaussblur", path, path + ".m.v", SIGMA, "--min-ampl", 0.001, "--precision", "float")
        means[name] = floats(path + ".m.v", width, height)
    total = 0
    for a, b, aa, bb, ab in zip(means["a"], means["b"], means["aa"], means["bb"], means["ab"]):
        total += ((2 * a * b + C1) * (2 * (ab - a * b) + C2) /
                  ((a * a + b * b + C1) * (aa - a * a + bb - b * b + C2)))
    return total / len(means["a"])


def ways(source, width, out):
    yield "ours", lambda: run(SLUICE, "image", source, "--width", width, "--format", "png", "-o", out)
    yield "careful", lambda: run(SLUICE, "image", source, "--width", width, "--careful", "--format", "png", "-o", out)
    if os.path.isdir(os.path.join(MODULES, "sharp")):
        yield "sharp", lambda: run("node", "-e", SHARP, source, width, out, env=dict(os.environ, NODE_PATH=MODULES))
    yield "libvips", lambda: run("vipsthumbnail", source, "-s", f"{width}x100000", "-o", out)


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    at = sys.argv.index("--")
    for source in sys.argv[at + 1:]:
        for width in map(int, sys.argv[1:at] or ["320"]):
            with tempfile.TemporaryDirectory() as folder:
                whole, out = os.path.join(folder, "truth.png"), os.path.join(folder, "out.png")
                truth(source, width, whole, folder)
                words = []
                for name, make in ways(os.path.abspath(source), width, out):
                    if os.path.exists(out):
                        os.unlink(out)
                    make()
                    words.append(f"{name} {decibels(whole, out, folder):5.1f} {ssim(whole, out, folder):.4f}")
                print(f"{os.path.basename(source):20} {width:5}  " + "  ".join(words), flush=True)


if __name__ == "__main__":
    main()
