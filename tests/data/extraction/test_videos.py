"""Videos, GIFs and folders of images are found wherever they lie, and their interpretation is printed."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.recording import sequence as sequences
from common.recording.dataset_writer import read_manifest
from common.video.testcard import TestCard
from data.extraction.remarks import remarks
from data.extraction.report import REPORT
from data.extraction.videos import Video, find_videos
from tests.common.test_lfs import POINTER
from tests.pipeline import ROOT

CARD = TestCard(0, 320, 240)
DELAYS_MS = (100, 50, 300, 20, 100)


def touched(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"123")


def found(folder: Path) -> dict[str, str]:
    return {video.name: video.label for video in find_videos(folder)}


# --- which there are


def test_gifs_and_folders_of_images_are_videos(tmp_path: Path) -> None:
    touched(tmp_path, "wave/a.gif", "wave/b.GIF", *(f"clap/one/frame_{n}.{s}" for n, s in ((1, "jpg"), (2, "PNG"))))
    touched(tmp_path, "push up/right/07/1.webp", "sign/1.jpg", "hello.gif", "clap/one/._frame_1.jpg", "rest/._1.jpg")
    touched(tmp_path, ".ipynb_checkpoints/a.mp4", "__MACOSX/wave/._a.gif")
    assert found(tmp_path) == {
        "clap/one": "clap",
        "hello.gif": "hello",
        "push up/right/07": "push up/right",
        "sign": "sign",
        "wave/a.gif": "wave",
        "wave/b.GIF": "wave",
    }
    one = next(video for video in find_videos(tmp_path, 12.0) if video.name == "clap/one")
    assert (one.size, one.fps) == (6, 12.0), "of its two images"


def test_a_changed_image_makes_another_video(tmp_path: Path) -> None:
    touched(tmp_path, "wave/0/1.jpg")
    (before,) = find_videos(tmp_path)
    (tmp_path / "wave/0/1.jpg").write_bytes(b"1234")
    assert find_videos(tmp_path) != [before]


def test_one_video_or_one_folder_of_images_alone(tmp_path: Path) -> None:
    touched(tmp_path, "thank you.gif", "wave/2.jpg", "wave/10.jpg")
    assert found(tmp_path / "thank you.gif") == {"thank you.gif": "thank you"}
    assert found(tmp_path / "wave") == {"wave": "wave"}
    (tmp_path / "list.csv").write_text("path,label\nwave,hello\nthank you.gif,thanks\n")
    assert [(video.label, video.fps) for video in find_videos(tmp_path / "list.csv")] == [
        ("hello", 25.0),
        ("thanks", 0.0),
    ]


def test_images_beside_videos_are_ignored_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touched(tmp_path, "wave/a.mp4", "wave/poster.jpg", "clap/b.mp4", "logo.png", "rest/0/1.jpg")
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path) == {"wave/a.mp4": "wave", "clap/b.mp4": "clap", "rest/0": "rest"}
    assert f"{tmp_path / 'wave'}: its images are ignored" in caplog.text


def test_what_lies_too_deep_is_objected_to_alone(tmp_path: Path) -> None:
    touched(tmp_path, "wave/a.mp4", "a/b/c/d.mp4", "a/b/c/e/1.jpg", "no$label/a.mp4")
    errors = {video.name: video.error for video in find_videos(tmp_path)}
    assert errors.pop("wave/a.mp4") == ""
    assert "more than two levels; move" in errors["a/b/c/d.mp4"] and "a .csv" in errors["a/b/c/e"]
    assert "cannot name a label" in errors["no$label/a.mp4"]


def test_a_projects_folder_asks_for_its_videos(tmp_path: Path) -> None:
    touched(tmp_path, "Videos/hello/a.mp4", "Videos/thanks/b.mp4", "README.md")
    with pytest.raises(UserError, match=r"verdicts \(hello, thanks\) of one action, Videos: name .*/Videos if that"):
        find_videos(tmp_path)
    touched(tmp_path / "deep", "src/Videos/hello/a.mp4", "src/Videos/thanks/b.mp4")
    with pytest.raises(UserError, match=r"name .*/deep/src if that"):
        find_videos(tmp_path / "deep")


def test_a_list_that_is_a_pointer_is_refused_as_such(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(POINTER)
    with pytest.raises(UserError, match=r"list\.csv is a Git LFS pointer"):
        find_videos(tmp_path / "list.csv")


@pytest.mark.parametrize("name", ["x.mp4", "x.ts", "x.of a camera", "x"])
def test_a_video_that_is_a_pointer_is_refused_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(UserError, match=rf"{name} is a Git LFS pointer"):
        find_videos(tmp_path / name)


@pytest.mark.parametrize("suffix", ["ts", "m2ts", "asf", "vob", "f4v", "MTS", "m2v"])
def test_a_video_is_found_in_its_folder_whatever_records_it(tmp_path: Path, suffix: str) -> None:
    touched(tmp_path, f"wave/a.{suffix}")
    assert found(tmp_path) == {f"wave/a.{suffix}": "wave"}


def test_a_video_that_is_named_needs_no_ending_that_is_known(tmp_path: Path) -> None:
    gif(tmp_path / "wave.gif")
    (tmp_path / "wave.gif").rename(tmp_path / "wave.dat")
    assert found(tmp_path / "wave.dat") == {"wave.dat": "wave"}
    touched(tmp_path, "notes.txt", "empty")
    for name in ("notes.txt", "nowhere.txt", "nowhere.mp4"):
        with pytest.raises(UserError, match=rf"{name} is neither a folder of videos nor a video, nor a \.csv list"):
            find_videos(tmp_path / name)


def test_a_folder_of_images_may_be_called_as_a_video(tmp_path: Path) -> None:
    touched(tmp_path, "wave/a.mp4/frame_0.jpg", "wave/a.mp4/frame_1.jpg", "wave/b.gif/1.tif", "wave/c.mp4/1.TIFF")
    assert [(video.name, video.fps) for video in find_videos(tmp_path)] == [
        ("wave/a.mp4", 25.0), ("wave/b.gif", 25.0), ("wave/c.mp4", 25.0)
    ]  # fmt: skip


# --- what is remarked


def videos(label: str, *stems: str) -> list[Video]:
    return [Video(Path(f"in/{label}/{stem}.mp4"), f"{label}/{stem}.mp4", label) for stem in stems]


@pytest.mark.parametrize(
    "stems",
    [
        ("bad", "come", "drink"),
        ("01_hello", "02_thanks"),
        ("good morning", "good night", "eat"),
        ("你好", "谢谢"),
        ("hello1", "thanks2"),
        ("sign_hello", "sign_thanks", "sign_bye"),
        ("hello_anna", "thanks_anna"),
        ("hello_1", "hello_2", "thanks_1", "thanks_2"),
        ("hello", "hello2", "thanks"),
        ("A", "B", "C"),
    ],
)
def test_a_folder_whose_names_all_differ_is_remarked_on(stems: tuple[str, ...]) -> None:
    (said,) = remarks([*videos("animals", *stems), *videos("wave", "00", "01")], listed=False)
    assert f"All {len(stems)} videos labelled animals have different names ({stems[0]}, {stems[1]}" in said
    assert not list(remarks(videos("animals", *stems), listed=True)), "a list has said what they are"


@pytest.mark.parametrize(
    "stems",
    [
        ("00", "01", "02"),
        ("hello_1", "hello_2"),
        ("hello_anna", "hello_bob"),
        ("anna_1", "anna_2", "bob_1"),
        ("IMG_2041", "IMG_2042"),
        ("SbTU6uS4cc1tZpqCnE3g", "Ui9Nq58yYSgkJslO02za"),
        ("a", "b"),
        ("hello",),
        ("hello", "hello_slow", "hello_fast"),
        ("take_1", "take_2"),
        ("1", "anna"),
    ],
)
def test_recordings_of_one_sign_are_not_remarked_on(stems: tuple[str, ...]) -> None:
    assert not list(remarks(videos("hello", *stems), listed=False))


def test_names_that_recur_in_other_folders_are_of_people() -> None:
    assert not list(remarks([*videos("hello", "anna", "bob"), *videos("thanks", "bob_2", "cem")], listed=False))


# --- what becomes of them


def gif(path: Path) -> None:
    """With delays that vary, and only what changes drawn anew, the rest transparent."""
    images = [Image.fromarray(CARD.frame(number / 10)[..., ::-1]) for number in range(len(DELAYS_MS))]
    images[0].save(path, save_all=True, append_images=images[1:], duration=list(DELAYS_MS), loop=0)


def images(folder: Path, suffix: str, width: int = 320) -> None:
    folder.mkdir(parents=True)
    for number in range(11):
        size = (width, width * 3 // 4) if number == 4 else (320, 240)
        cv2.imwrite(str(folder / f"frame_{number}.{suffix}"), cv2.resize(CARD.frame(number / 25), size))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What was said, and the data set that was made, of a folder with something of everything."""
    source, out = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("data") / "set"
    for suffix in ("jpg", "png", "tiff", "webp"):
        images(source / "nod" / suffix, suffix, width=160)
    (source / "nod" / "jpg" / "frame_7.jpg").write_bytes(b"broken")
    (source / "nod" / "broken").mkdir()
    (source / "nod" / "broken" / "1.png").write_bytes(b"broken")
    gif(source / "shake.gif")
    Image.fromarray(CARD.frame(0.0)[..., ::-1]).save(source / "still.gif")
    touched(source, "a/b/c/d.mp4")
    (source / "nod" / "pointer.mp4").write_text(POINTER)
    (source / "nod" / "pointers").mkdir()
    (source / "nod" / "pointers" / "1.jpg").write_text(POINTER)
    command = [sys.executable, "-m", "data.extract", str(source), "--out", str(out), "--workers", "1", "--fps", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, out


def test_all_that_can_be_read_becomes_a_sequence_and_the_rest_a_sentence(made: tuple[str, Path]) -> None:
    said, out = made
    report = {row["path"]: row for row in map(json.loads, (out / REPORT).read_text().splitlines())}
    reasons = {path: row["reason"] for path, row in report.items() if row["outcome"] != "ok"}
    assert set(reasons) == {"a/b/c/d.mp4", "nod/broken", "nod/pointer.mp4", "nod/pointers"}
    assert "more than two levels" in reasons["a/b/c/d.mp4"]
    assert "1.png cannot be decoded" in reasons["nod/broken"]
    assert all("git lfs pull" in reasons[path] for path in ("nod/pointer.mp4", "nod/pointers"))
    assert set(read_manifest(out)) == {
        *(f"nod/{suffix}-000.npz" for suffix in ("jpg", "png", "tiff", "webp")),
        "shake/shake-000.npz",
        "still/still-000.npz",
    }
    assert "Folders of images (6) are each read as one recording at 10 frames/s (--fps)" in said
    assert "4 of 10 videos gave no sequence" in said
    table = {
        cells[0]: cells[1:]
        for line in said.splitlines()
        if len(cells := line.strip("│").replace("│", " ").split()) == 4
    }
    assert table["nod"] == ["7", "4", "43"] and table["still"] == ["1", "1", "1"]


def test_images_come_in_natural_order_and_one_that_is_missing_is_missing_in_time(made: tuple[str, Path]) -> None:
    _, out = made
    jpg, png = (sequences.read(out / "nod" / f"{name}-000.npz") for name in ("jpg", "png"))
    assert png.captured_ns.tolist() == [number * 100_000_000 for number in range(11)]
    assert jpg.captured_ns.tolist() == [number * 100_000_000 for number in range(11) if number != 7]
    assert (jpg.fps, png.fps) == (10.0, 10.0)
    noses = png.keypoints[:, 0]
    assert np.abs(np.diff(noses)).max() < 0.05, "also across the image of another size"
    assert "frame_7.jpg cannot be decoded and is skipped" in read_manifest(out)["nod/jpg-000.npz"].issues[0]
    shake = sequences.read(out / "shake/shake-000.npz")
    assert shake.captured_ns.tolist() == [0, *(np.cumsum(DELAYS_MS[:-1]) * 1_000_000).tolist()]


def test_the_given_gif_is_a_video(shared: Path) -> None:
    from data.extraction.extractor import VideoExtractor

    (video,) = find_videos(shared / "cases" / "sign.gif")
    result = VideoExtractor()(video)
    assert (video.label, result.failure, result.keypoints.shape, result.fps) == ("sign", "", (38, 1662), 10.0)
