"""Check that Git LFS pointers are recognised by their content, whatever their name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.config import load
from common.errors import UserError
from common.lfs import refuse_pointer
from common.recognition.classifier import CARD, read_card
from common.recording.mcap_file import BusReader
from common.video import sources

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'20d59d27' * 8}\nsize 7330073\n"


@pytest.mark.parametrize("suffix", [".onnx", ".mp4", ".npy", ".h5", ""])
def test_a_pointer_is_distinguished_from_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"one{suffix}"
    path.write_text(POINTER)
    with pytest.raises(UserError, match=rf"one{suffix} is a Git LFS pointer.*git lfs pull"):
        refuse_pointer(path)


def test_other_files_and_unreadable_ones_are_ignored(tmp_path: Path) -> None:
    for number, content in enumerate((b"", b"version", b"\0" * 100, b"version of mine\n")):
        path = tmp_path / str(number)
        path.write_bytes(content)
        refuse_pointer(path)
    refuse_pointer(tmp_path)
    refuse_pointer(tmp_path / "nowhere")


def test_a_real_pointer_is_recognised(shared: Path) -> None:
    with pytest.raises(UserError, match="git lfs pull"):
        refuse_pointer(shared / "cases" / "lfs_pointer.onnx")


@pytest.mark.parametrize(
    ("name", "read"),
    [(CARD, lambda path: read_card(path.parent)), ("run.mcap", lambda path: list(BusReader(path)))],
)
def test_every_reader_of_files_recognises_a_pointer(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(UserError, match=f"{name} is a Git LFS pointer"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["clip.mp4", "sign.gif", "frames/1.jpg"])
def test_a_source_of_pointers_is_refused_as_such(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(POINTER)
    source = path.parent if path.suffix == ".jpg" else path
    with pytest.raises(UserError, match="Git LFS pointer"):
        sources.open_source(load(sets=[f"camera.source={source}"]).camera).read()
