"""Builds the wheel, on the standard library alone: `pip install clients/python` needs no network.

The hooks of PEP 517 and PEP 660 that pip calls. What the wheel says of itself is read from
pyproject.toml, of which only the lines that look like `name = "text"` count here.
"""
import base64
import hashlib
import os
import re
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = "sluice"
WHEEL = "Wheel-Version: 1.0\nGenerator: wheel_of_sluice\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def read(*path):
    with open(os.path.join(ROOT, *path), "rb") as file:
        return file.read()


def project():
    text = read("pyproject.toml").decode()
    found = dict(re.findall(r'^([a-z-]+) = "(.*)"$', text.partition("[project]")[2], re.M))
    found["classifiers"] = re.findall(r'^    "(.* :: .*)",$', text, re.M)
    return found


def metadata(about):
    lines = ["Metadata-Version: 2.1", f"Name: {about['name']}", f"Version: {about['version']}",
             f"Summary: {about['description']}", "License: Apache-2.0",
             f"Requires-Python: {about['requires-python']}",
             *(f"Classifier: {name}" for name in about["classifiers"]),
             "Description-Content-Type: text/markdown"]
    return "\n".join(lines).encode() + b"\n\n" + read("README.md")


def write_wheel(folder, files):
    about = project()
    stem = f"{about['name']}-{about['version']}"
    info = f"{stem}.dist-info"
    files = {**files, f"{info}/METADATA": metadata(about), f"{info}/WHEEL": WHEEL.encode()}
    record = []
    name = f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            record.append(f"{path},sha256={digest.decode()},{len(content)}\n")
            wheel.writestr(path, content)
        wheel.writestr(f"{info}/RECORD", "".join(record) + f"{info}/RECORD,,\n")
    return name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    names = sorted(name for name in os.listdir(os.path.join(ROOT, PACKAGE))
                   if name.endswith((".py", ".typed")))
    return write_wheel(wheel_directory,
                       {f"{PACKAGE}/{name}": read(PACKAGE, name) for name in names})


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return write_wheel(wheel_directory, {f"__editable__{PACKAGE}.pth": ROOT.encode() + b"\n"})
