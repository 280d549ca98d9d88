"""The documentation: links lead somewhere, the reference is what the code says, the site builds, and snippets run."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.bus.messages import Action, Status
from common.bus.testing import TestBus
from common.recording.dataset_writer import DatasetWriter
from common.video.testcard import TestCard
from common.video.writer import VideoWriter
from docs.tools import reference
from models.evaluation import calibration
from models.training import adaptation
from tests.commands import Done, call
from tests.models.training.test_trainer import group
from tests.pace import patience, until
from tests.pipeline import ROOT, free_ports, python

DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), ROOT / "examples" / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN, SHOWN = {"sh", "python"}, {"text", "json"}

SKIPPED = {  # lines that are not run
    "git clone <this repository> actionstream && cd actionstream": "there is no address",
    ".venv/bin/tensorboard --logdir runs": "a server without an end, and not a program of this project",
}
SHORTER = {  # options that keep a command short; the last one counts
    "models.compare": "--architectures ridge --test-folds 2 --window-length 8 --stride 12",
    "models.export": "--data datasets/others",
    "models.train": "--architecture ridge --folds 2 --window-length 8 --stride 12",
    "models.tune": "--trials 1 --epochs 1 --folds 2 --window-length 8 --stride 12",
    "services.monitor": "--once 1.5",
}
ENDLESS = {"services.recorder", "services.record_bus"}  # until Ctrl-C
FRAME = {"seq": 0, "captured_ns": 0, "ingested_ns": 0}
ACTIONS = [  # what consumers are sent
    Action(stream="cam", **FRAME, id=1, label="push up", verdict="wrong", start_s=1.0),
    Action(stream="cam", **FRAME, id=1, label="push up", verdict="wrong", start_s=1.0, event="ended", end_s=2.5),
    Action(stream="cam", **FRAME, end_of_stream=True),
]
SECONDS = 7  # of the test card: a nod from its start to its end


def snippets(page: Path) -> list[tuple[str, str]]:
    return [(language, text) for language, text in BLOCK.findall(page.read_text()) if language in RUN]


# --- links, reference, site ---------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """As GitHub and mkdocs name headings."""
    headings = re.findall(r"^#+ (.*)", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_blocks(page: Path) -> None:
    text = BLOCK.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target
    unknown = {language for language, _ in BLOCK.findall(page.read_text())} - RUN - SHOWN
    assert not unknown, f"a block is one of {RUN | SHOWN}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_modules_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    files = re.findall(r"`((?:common|config|data|docs|examples|models|services|tests)/[\w/]+(?:\.\w+|/))`", text)
    modules = re.findall(r"(?:`|-m )((?:common|data|models|services|tests)(?:\.[a-z_]+)+)[ `]", text)
    paths = [*files, *(f"{module.replace('.', '/')}.py" for module in modules)]
    missing = [path for path in paths if not (ROOT / path).exists() and not (ROOT / path.removesuffix(".py")).is_dir()]
    assert not missing


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    assert (reference.FOLDER / name).read_text() == reference.PAGES[name](), "run `make docs`"


def test_every_service_is_described() -> None:
    described = re.findall(r"^\| `(\w+)`", (reference.FOLDER / "services.md").read_text(), re.MULTILINE)
    assert sorted(described) == sorted(path.stem for path in (ROOT / "services").glob("[!_]*.py"))


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list(DOCS.glob("*.md")))
    for page in pages:
        assert not re.findall(r'<(?:script|img|link rel="stylesheet")[^>]*"https?:', page.read_text()), page


# --- snippets -----------------------------------------------------------------------------------------


def people(folder: Path, *labels: str) -> None:
    """Two sequences of each label by each of two people."""
    with DatasetWriter(folder) as writer:
        for number, one in enumerate(group(*labels, frames=32)):
            writer.add(f"{one.subject}-{number % 2:03d}", one)


def video(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file, card = VideoWriter(path, 25, (640, 480), live=False), TestCard(0)
    for number in range(12):
        file.write(card.frame(number / 25), number * 40_000_000)
    file.close()


def network(path: Path) -> None:
    import tensorflow as tf

    layers = [tf.keras.layers.Input((30, 1662)), tf.keras.layers.LSTM(2), tf.keras.layers.Dense(3, "softmax")]
    tf.keras.Sequential(layers).save(path)


def copy_model(folder: Path) -> None:
    shutil.copytree(ROOT / "pretrained" / "starter", folder)


INPUTS: dict[str, Callable[[Path], object]] = {  # what snippets name as if a user had it
    "action.h5": network,
    "dance.mp4": video,
    "datasets/anna": lambda path: people(path, "wave", "nod"),
    "datasets/mine": lambda path: people(path, "wave", "clap", "rest"),
    "datasets/others": lambda path: people(path, "hello", "thanks"),
    "datasets/push_up": lambda path: people(path, "push up/right", "push up/wrong", "rest"),
    "mine.yaml": lambda path: path.write_text("camera:\n  mirror: true\n"),
    "runs/mine": copy_model,
    "videos/": lambda path: video(path / "wave" / "01.mp4"),
}


class Workspace:
    """A folder like a fresh clone: links to the code, and its own place for what snippets write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for entry in ROOT.iterdir():
            if entry.name not in (".git", ".venv", "build", "datasets", "out", "runs"):
                (folder / entry.name).symlink_to(entry)
        binaries = folder / ".venv" / "bin"
        binaries.mkdir(parents=True)
        for entry in (*Path(sys.prefix).iterdir(), *(Path(sys.prefix) / "bin").iterdir()):
            with contextlib.suppress(FileExistsError):
                (binaries.parent / entry.relative_to(sys.prefix)).symlink_to(entry)
        (binaries.parent / "ready").unlink(missing_ok=True)
        (binaries.parent / "ready").touch()

    def only_say_what_would_start(self) -> None:
        honcho = self.folder / ".venv" / "bin" / "honcho"
        honcho.unlink()
        honcho.write_text('#!/bin/sh\necho "honcho $*"\n')
        honcho.chmod(0o755)

    def environment(self, port: int) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ACTIONSTREAM")},
            "ACTIONSTREAM__BUS__PORT": str(port),
            "ACTIONSTREAM__OVERLAY__PAGE_PORT": str(port + 4),
            "SOURCE": "testcard",
            "HEADLESS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def make_inputs(self, words: list[str]) -> None:
        for before, word in zip(["", *words], words, strict=False):
            value = word.rpartition("=")[2]
            path = self.folder / value
            is_output = value.startswith("runs/") and before == "--out"  # a data set may be there already
            if value in INPUTS and not is_output and not path.exists():
                path.parent.mkdir(exist_ok=True)
                INPUTS[value](path)

    def run(self, line: str, bus: TestBus | None = None) -> None:
        """One line of a shell snippet; it must end without an error."""
        words = shlex.split(line)
        more = SHORTER.get(" ".join(words[2:3]), "").split()
        self.make_inputs([*words, *more])
        if words[:2] != [".venv/bin/python", "-m"]:
            environment = self.environment(free_ports(5))
            done = subprocess.run(line, shell=True, cwd=self.folder, env=environment, capture_output=True, text=True)  # noqa: S602
        elif bus and words[2].startswith("services."):
            done = self.run_service(bus, words[2], [*words[3:], *more])
        else:
            done = call(words[2], *words[3:], *more, folder=self.folder)
        assert done.returncode == 0, (line, done.stdout, done.stderr)

    def run_service(self, bus: TestBus, module: str, arguments: list[str]) -> Done:
        """A program beside the others, interrupted as by Ctrl-C once it runs where it has no end."""
        command = [sys.executable, "-m", module, *arguments]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            if module in ENDLESS:
                while bus.receive("status").state != "running":
                    pass
                process.send_signal(signal.SIGINT)
            elif module == "services.monitor":
                bus.publish(Status(stream="camera.00000000", service="camera", **FRAME))
            said = process.communicate(timeout=patience(20))[0]
        return Done(command, process.returncode, said, "")

    def run_consumer(self, bus: TestBus, text: str) -> str:
        """A Python snippet, and what it prints; one that listens until Ctrl-C is sent actions first."""
        script, output = self.folder / "consumer.py", self.folder / "output.txt"
        script.write_text(text)
        with output.open("w") as file, python(script, stdout=file, stderr=-2) as process:
            if " in listen(" in text:
                for action in ACTIONS:
                    bus.publish(action)
                until(lambda: output.read_text().endswith("\n"), 10, lambda: process.poll() is None)
                process.send_signal(signal.SIGINT)
            elif "send_command(" in text:
                assert bus.receive("command").command
            assert process.wait(patience(10)) == 0, output.read_text()
        return output.read_text()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(adaptation, "EPOCHS", 1)
    monkeypatch.setattr(calibration, "GRID", {name: values[:2] for name, values in calibration.GRID.items()})
    return Workspace(tmp_path)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestBus]:
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    with TestBus(timeout_s=patience(10)) as bus:
        yield bus


GUIDES = [page for page in sorted(DOCS.rglob("*.md")) if snippets(page)]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_snippets_run(page: Path, workspace: Workspace, bus: TestBus) -> None:
    workspace.only_say_what_would_start()
    for language, text in snippets(page):
        if (language, text) in snippets(ROOT / "README.md"):
            continue  # the test below runs it
        if language == "python":
            workspace.run_consumer(bus, text)
            continue
        for line in text.splitlines():
            if line not in SKIPPED:
                workspace.run(line, bus)


def readme_output() -> list[str]:
    """The lines of the README that show what is printed, without the names of processes."""
    shown = next(text for language, text in BLOCK.findall((ROOT / "README.md").read_text()) if language == "text")
    return [line.partition("| ")[2] for line in shown.splitlines()]


def test_the_readme_from_the_first_run_to_own_actions(workspace: Workspace) -> None:
    """A real run of the test card, with the README's consumer beside it; then its commands to own actions."""
    first, consumer, own = [text for _, text in snippets(ROOT / "README.md")]
    environment = workspace.environment(free_ports(5))
    script, output = workspace.folder / "consumer.py", workspace.folder / "output.txt"
    script.write_text(consumer)
    with output.open("w") as file, python(script, stdout=file, stderr=-2, env=environment) as process:
        command = [line for line in first.splitlines() if line not in SKIPPED]
        assert command == ["make run"]
        done = subprocess.run(
            ["make", "run", f"SECONDS={SECONDS}"],
            cwd=workspace.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=patience(90),
            check=False,
        )
        assert done.returncode == 0, done
        until(lambda: "the stream has ended" in output.read_text(), 10)
        process.send_signal(signal.SIGINT)
        assert process.wait(patience(10)) == 0
    for line in readme_output()[:-1]:  # the last one comes later
        assert re.search(re.sub(r"\d+", r"\\d+", re.escape(line)), done.stdout), line
    assert re.fullmatch(r"nod started\nnod ended after \d\.\d s\nthe stream has ended\n", output.read_text())
    workspace.only_say_what_would_start()
    for line in own.splitlines():
        workspace.run(line)
