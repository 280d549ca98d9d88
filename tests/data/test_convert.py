"""A data set goes into every format and comes back as it was, or nothing is written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.keypoints.landmarks import PARTS, SIZE, SLICES
from common.recording.sequence import KeypointSequence
from data import dataset
from data.convert import WRITERS, convert
from data.formats import npz
from tests.pace import patience, until
from tests.pipeline import ROOT, python

FORMATS = list(WRITERS)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "data.convert", *map(str, arguments)]


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)


def name(target_format: str) -> str:
    return "set.csv" if target_format == "csv" else "set"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_equal(before: list[KeypointSequence], after: list[KeypointSequence]) -> None:
    for one, other in zip(sorted(before, key=lambda s: s.label), sorted(after, key=lambda s: s.label), strict=True):
        for field, value in one._asdict().items():
            np.testing.assert_array_equal(getattr(other, field), value, field)
        assert other.keypoints.dtype == np.float32


@st.composite
def sequences(draw: st.DrawFn) -> KeypointSequence:
    """Any numbers, though few different ones; parts that are there, not there, or there without visibility."""
    frames = draw(st.integers(1, 3))
    numbers = draw(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=8))
    keypoints = np.random.default_rng(draw(st.integers(0, 99))).choice(np.array(numbers, np.float32), (frames, SIZE))
    for frame in range(frames):
        for part in draw(st.sets(st.sampled_from(PARTS))):
            keypoints[frame, SLICES[part]] = 0
        keypoints[frame, SLICES["pose"]].reshape(33, 4)[:, 3] *= draw(st.booleans())
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
    steps = draw(st.lists(st.integers(1, 2**40), min_size=frames, max_size=frames))
    return KeypointSequence(
        draw(st.sampled_from(["wave", "push up", "push up/0", "push up/wrong", "10", "no, no", "谢谢"])),
        keypoints,
        np.cumsum(steps) - 2**30,
        draw(text),
        draw(text),
        draw(st.floats(0.1, 1000)),
    )


@pytest.mark.parametrize("target_format", FORMATS)
@settings(max_examples=10)
@given(before=st.lists(sequences(), min_size=1, max_size=5))
def test_all_formats_keep_everything(
    tmp_path_factory: pytest.TempPathFactory, target_format: str, before: list[KeypointSequence]
):
    path = tmp_path_factory.mktemp("data") / name(target_format)
    WRITERS[target_format](path, before)
    assert_equal(before, dataset.read(path))


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "native"
    rng = np.random.default_rng(0)
    npz.write(
        folder,
        [
            KeypointSequence(
                label, rng.random((frames, SIZE), np.float32), rng.integers(1, 9, frames).cumsum(), who, "cam", 9.7
            )
            for label, frames, who in [("wave", 3, "anna"), ("wave", 2, "ben"), ("push up/right", 1, "anna")]
        ],
    )
    return folder


@pytest.mark.parametrize("target_format", FORMATS)
def test_there_and_back_by_command(tmp_path: Path, native: Path, target_format: str):
    there = run(native, tmp_path / name(target_format), "--to", target_format)
    assert (there.returncode, there.stdout.count("\n")) == (0, 3), there.stderr
    assert "3 sequences, 6 frames, 2 labels" in there.stdout and "all is equal" in there.stdout
    assert "Not converted: the names" in there.stdout
    assert [path.name for path in tmp_path.iterdir()] == [name(target_format)]
    convert(tmp_path / name(target_format), tmp_path / "back", "native", 25.0)
    assert_equal(dataset.read(native), dataset.read(tmp_path / "back"))


def test_a_strangers_notebook_reads_the_files(tmp_path: Path, native: Path):
    convert(native, tmp_path / "MP_Data", "mp_data", 25.0)
    convert(native, tmp_path / "npy", "npy", 25.0)
    first = dataset.read(native)[1]
    frames = [np.load(tmp_path / "MP_Data" / "wave" / "0" / f"{frame}.npy") for frame in range(3)]
    assert (np.stack(frames) == first.keypoints).all()
    assert (np.load(tmp_path / "npy" / "wave" / "0.npy") == first.keypoints).all()


def test_what_is_there_stays(tmp_path: Path, native: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file.csv").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    before = contents(tmp_path)
    for target, target_format, said in [
        ("full", "npy", "is there already"),
        ("file.csv", "csv", "is there already"),
        ("link", "npy", "is there already"),
        ("file.csv/set", "npy", "cannot be written"),
        ("nowhere/set", "npy", "cannot be written"),
        ("x" * 300, "npy", "cannot be written"),
        ("set", "csv", r"ends in \.csv"),
    ]:
        with pytest.raises(UserError, match=said):
            convert(native, tmp_path / target, target_format, 25.0)
    assert contents(tmp_path) == before
    convert(native, tmp_path / "empty", "npy", 25.0)
    assert len(dataset.read(tmp_path / "empty")) == 3


def test_a_mistake_is_one_sentence(tmp_path: Path):
    failed = run(tmp_path / "nowhere", tmp_path / "out", "--to", "pose")
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1), failed.stderr
    assert "There is no data set" in failed.stderr
    assert run(tmp_path, tmp_path / "out", "--to", "pose", "--fps", "0").returncode == 2
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("label", ["a/b/c", "..", "../wave", "x" * 300, "👋", "/etc", "wave "])
@pytest.mark.parametrize("target_format", FORMATS)
def test_a_label_that_cannot_be_a_folder_is_named(tmp_path: Path, label: str, target_format: str):
    lines = [f"{name},{','.join(['0.5'] * 126)}\n" for name in ("wave", label)]
    (tmp_path / "in.csv").write_text(f"class,{','.join(map(str, range(126)))}\n{''.join(lines)}")
    with pytest.raises(UserError, match=r"Sequence 2 .* cannot be written: .* cannot"):
        convert(tmp_path / "in.csv", tmp_path / name(target_format), target_format, 25.0)
    assert os.listdir(tmp_path) == ["in.csv"]


def test_a_number_that_a_format_cannot_hold_is_not_lost_in_silence(tmp_path: Path):
    huge = KeypointSequence("wave", np.full((1, SIZE), 3e38, np.float32), np.arange(1), "anna", "cam", 25.0)
    npz.write(tmp_path / "in", [huge])
    with pytest.raises(UserError, match=r"cannot be read back and was removed: .* not finite"):
        convert(tmp_path / "in", tmp_path / "out", "pose", 25.0)
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("target_format", FORMATS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, native: Path, target_format: str):
    """A limit on file size stands for the full disk: the write itself fails."""
    program = f"""
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))
sys.argv[1:] = {[str(native), str(tmp_path / name(target_format)), "--to", target_format]}
runpy.run_module("data.convert", run_name="__main__")
"""
    failed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1), failed.stderr
    assert "cannot be written: " in failed.stderr
    assert target_format == "csv" or failed.stderr.startswith("Sequence 1 ('push up/right' by 'anna')")
    assert not os.listdir(tmp_path)


def test_an_interrupted_one_leaves_nothing(tmp_path: Path):
    frames = 3000
    keypoints = np.random.default_rng(0).random((frames, SIZE), np.float32)
    npz.write(tmp_path / "in", [KeypointSequence("wave", keypoints, np.arange(frames), "anna", "cam", 25.0)])
    with python(
        *command(tmp_path / "in", tmp_path / "out.csv", "--to", "csv")[1:],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # else ignored where the tests run in the background
    ) as process:
        until(lambda: list(tmp_path.glob(".converting-*/out.csv")), 30, lambda: process.poll() is None)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=patience(30))
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "Interrupted: nothing was written."
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("target_format", FORMATS)
def test_the_notebooks_folder_goes_everywhere_and_back(shared: Path, tmp_path: Path, target_format: str):
    before = dataset.read(shared / "mp_data_mit" / "MP_Data", 30.0)
    convert(shared / "mp_data_mit" / "MP_Data", tmp_path / name(target_format), target_format, 30.0)
    convert(tmp_path / name(target_format), tmp_path / "back", "mp_data", 25.0)
    assert_equal(before, dataset.read(tmp_path / "back"))
