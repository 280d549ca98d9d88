"""What `pip install .` gives to somebody outside: one package with three others, small, soon imported, and it works."""

import json
import shutil
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from common.bus.messages import Action
from common.bus.pubsub import Publisher
from tests.common.sockets import open_hub
from tests.pace import SPARE, patience
from tests.pipeline import ROOT

UV = Path(sys.executable).parent / "uv"
SITE_PACKAGES_MB, IMPORT_S = 120, 0.5
IMPORT = """
import time
begun_s = time.perf_counter()
import actionstream
print(time.perf_counter() - begun_s)
"""
CONSUMER = """
import sys
from actionstream import listen
for action in listen("action", port=int(sys.argv[1])):
    print(action.event, action.label)
    break
"""
OWN_TEST = """
from actionstream import Action, listen
from actionstream.testing import TestBus
with TestBus(timeout_s=60) as bus:
    actions = listen("action")
    bus.publish(Action(stream="cam", seq=0, captured_ns=0, ingested_ns=0, label="wave"))
    print(next(actions).label)
"""


def run(*command: object, folder: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves files in the folder, and takes up what an earlier build has left."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "common" / "bus", folder / "common" / "bus", ignore=shutil.ignore_patterns("__pycache__"))
    run(UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", "built", folder=folder)
    (built,) = (folder / "built").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python outside the repository, with the wheel and the versions of requirements.lock that it brings."""
    folder = tmp_path_factory.mktemp("outside")
    run(UV, "venv", "--python", sys.executable, folder, folder=folder)
    versions = [line.split(" ;")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    (folder / "versions.txt").write_text("\n".join(line.rstrip(" \\") for line in versions))
    install = (UV, "pip", "install", "--python", folder, "--compile-bytecode", "--constraints", "versions.txt", wheel)
    cached = subprocess.run([*install, "--offline"], capture_output=True, check=False)  # by the set-up of .venv
    if cached.returncode:
        run(*install, folder=folder)
    return folder / "bin" / "python"


def test_the_wheel_has_one_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"actionstream/{path.name}" for path in (ROOT / "common" / "bus").iterdir() if path.is_file()}
    assert "actionstream/py.typed" in modules
    assert {name for name in names if ".dist-info/" not in name} == modules


def test_it_brings_pyzmq_msgspec_and_numpy_and_is_small(python: Path) -> None:
    folder = python.parent.parent
    listed = json.loads(run(UV, "pip", "list", "--python", folder, "--format", "json", folder=folder))
    assert {package["name"] for package in listed} == {"actionstream", "msgspec", "numpy", "pyzmq"}
    (site_packages,) = folder.glob("lib/python*/site-packages")
    megabytes = sum(path.stat().st_size for path in site_packages.rglob("*") if path.is_file()) / 1e6
    print(f"{megabytes:.1f} MB")
    assert megabytes <= SITE_PACKAGES_MB


def test_it_is_imported_soon(python: Path) -> None:
    seconds = [float(run(python, "-c", IMPORT, folder=python.parent)) for _ in range(7)]
    print(f"{statistics.median(seconds):.3f} s")
    assert statistics.median(seconds) <= patience(IMPORT_S) / SPARE


def test_a_consumer_gets_an_action_from_the_hub(python: Path) -> None:
    hub, endpoints = open_hub()
    sender = Publisher(endpoints)
    command = [python, "-c", CONSUMER, str(endpoints.port)]
    try:
        with subprocess.Popen(command, cwd=python.parent, stdout=subprocess.PIPE, text=True) as consumer:
            try:
                assert sender.wait_for_subscriber("action", timeout_s=patience(10))
                sender.send(Action(stream="cam", seq=0, captured_ns=0, ingested_ns=0, label="wave"))
                assert consumer.communicate(timeout=patience(10))[0] == "started wave\n"
            finally:
                consumer.kill()
    finally:
        sender.close()
        hub.close()


def test_somebody_outside_can_test_a_consumer(python: Path) -> None:
    assert run(python, "-c", OWN_TEST, folder=python.parent) == "wave\n"
