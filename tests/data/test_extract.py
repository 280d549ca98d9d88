"""Videos become sequences as in the live pipeline; each has a row in the report, whatever is wrong with it."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.keypoints.holistic import Holistic
from common.keypoints.landmarks import SIZE, SLICES
from common.keypoints.smoothing import PoseSmoother
from common.labels import checked_name
from common.recording import sequence as sequences
from common.recording.dataset_writer import DatasetWriter, read_manifest
from common.video.testcard import TestCard
from common.video.writer import VideoWriter
from data.extraction.extractor import ExtractionResult, VideoExtractor
from data.extraction.report import REPORT, ReportWriter, key, result_row
from data.extraction.run import to_valid_name
from data.extraction.videos import Video, find_videos
from data.extraction.workers import Crash
from tests.bench.sharing import VISIBLE, distance, positions, reference
from tests.data.extraction.test_workers import processes
from tests.pace import until
from tests.pipeline import ROOT, python

FPS, SIZE_PX = 25.0, (320, 240)


def extract(source: Path, out: Path, *more: object, **how: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "data.extract", str(source), "--out", str(out), *map(str, more)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **how)


def rows(out: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (out / REPORT).read_text().splitlines()]
    named = {line["path"]: line for line in lines}
    assert len(named) == len(lines)
    return named


def film(path: Path, frames: int, seed: int | None = 0) -> None:
    """A video of the test card, or without a person."""
    path.parent.mkdir(parents=True, exist_ok=True)
    card, video = None if seed is None else TestCard(seed, *SIZE_PX), VideoWriter(path, FPS, SIZE_PX, live=False)
    for number in range(frames):
        video.write(card.frame(number / FPS) if card else np.zeros((*SIZE_PX[::-1], 3), np.uint8), 0)
    video.close()


def live(path: Path) -> np.ndarray:
    """The keypoints (T, 1662) that the pipeline's own steps give."""
    capture, holistic, smoother, vectors = cv2.VideoCapture(str(path)), Holistic(), PoseSmoother(), []
    while (decoded := capture.read())[0]:
        captured_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        vector, _, scale_px = holistic(decoded[1], captured_ns)
        vectors.append(smoother(vector, captured_ns, scale_px, decoded[1].shape[1::-1]))
    holistic.close()
    return np.stack(vectors)


# --- which videos there are


def test_folders_are_labels_and_what_lies_in_none_is_its_own(tmp_path: Path) -> None:
    for name in ("wave/b.mp4", "wave/a.MOV", "push up/right/0.avi", "hello.mp4", "wave/.a.mp4", "wave/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"123")
    found = {video.name: (video.label, video.size) for video in find_videos(tmp_path)}
    assert found == {
        "hello.mp4": ("hello", 3),
        "push up/right/0.avi": ("push up/right", 3),
        "wave/a.MOV": ("wave", 3),
        "wave/b.mp4": ("wave", 3),
    }


def test_a_list_names_stretches_and_subjects_and_paths_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"1")
    (tmp_path / "list.csv").write_text(
        "label,path,start,end,subject,note\nwave,v.mp4,1.5,3,anna,x\nclap,v.mp4,,,,\nwave,v.mp4,1.5,3,anna,y\n"
        "gone,no.mp4,2,,,\n"
    )
    first, second, third = find_videos(tmp_path / "list.csv")
    assert first[:6] == (tmp_path / "v.mp4", "v.mp4", "wave", 1.5, 3.0, "anna")
    assert first.origin == f"{tmp_path / 'v.mp4'} from 1.5 s to 3 s"
    assert second[2:6] == ("clap", None, None, "unknown")
    assert (third.size, third.origin) == (0, f"{tmp_path / 'no.mp4'} from 2 s")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\n", "first line is not path,label"),
        ("", "first line is not path,label"),
        ("path,label\n", "no video in"),
        ("path,label\na.mp4\n", "line 2: '' cannot name a label"),
        ("path,label\n,wave\n", "line 2: it names no video"),
        ("path,label\na.mp4,../wave\n", "line 2: '..' cannot name a label"),
        ("path,label,start\na.mp4,wave,now\n", "line 2: 'now' is not a time"),
        ("path,label,start\na.mp4,wave,-1\n", "line 2: '-1' is not a time"),
        ("path,label,end\na.mp4,wave,inf\n", "line 2: 'inf' is not a time"),
        ("path,label,start,end\na.mp4,wave,3,3\n", "line 2: it ends at 3 s, before it begins"),
        ("path,label\n\xff\xfe,wave\n", "cannot be read as a list"),
        ('path,label\n"a.mp4,wave\n', "cannot be read as a list"),
    ],
)
def test_a_list_that_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=said) as error:
        find_videos(path)
    assert str(path) in str(error.value)


@given(st.text(st.characters(exclude_categories=[]), min_size=1))
def test_any_name_of_a_video_becomes_one_of_a_sequence(stem: str) -> None:
    assert checked_name(f"{to_valid_name(stem)}-1000")


# --- what becomes of them


def extracted(frames: int = 4, parts: tuple[str, ...] = ("pose", "face"), **more: Any) -> ExtractionResult:
    keypoints = np.zeros((frames, SIZE), np.float32)
    for part in parts:
        keypoints[: frames // 2, SLICES[part]] = 0.5
    return ExtractionResult(keypoints, np.arange(frames) * 40_000_000, FPS, 0.5, **more)


VIDEO = Video(Path("in/wave/v.mp4"), "wave/v.mp4", "wave", size=5, mtime_ns=7)


def test_a_person_is_who_shows_a_face_or_hand_too() -> None:
    row = result_row(VIDEO, extracted())
    assert (row.outcome, row.frames, row.duration_s, row.rate, row.pose, row.left_hand) == (
        "ok",
        4,
        0.12,
        8.0,
        0.5,
        0.0,
    )
    for parts, said in (((), "nobody is in view"), (("pose",), "neither face nor hands"), (("face",), "nobody")):
        row = result_row(VIDEO, extracted(parts=parts))
        assert row.outcome == "failed" and said in row.reason
    steady = extracted(parts=("pose",))
    steady.keypoints[:, SLICES["pose"]] = 0.5
    assert result_row(VIDEO, steady).outcome == "ok"
    assert "between its start and end" in result_row(VIDEO, extracted(0)).reason
    assert result_row(VIDEO, extracted(0, failure="it is empty")).reason == "it is empty"
    assert result_row(VIDEO, Crash("killed")).outcome == "crashed"


def test_a_row_without_its_sequence_and_a_crash_are_not_finished(tmp_path: Path) -> None:
    names = ("whole", "half", "failed", "crashed")
    videos = {name: VIDEO._replace(name=name) for name in names}
    with DatasetWriter(tmp_path) as writer:
        report = ReportWriter(writer)
        sequence = sequences.KeypointSequence("wave", extracted().keypoints, extracted().captured_ns, "anna", "", FPS)
        writer.add("whole-000", sequence)
        for name, result in zip(names, (extracted(), extracted(), extracted(0), Crash("killed")), strict=True):
            row = result_row(videos[name], result)
            row.file = f"wave/{name}-000.npz" if row.outcome == "ok" else ""
            report.add(row)
        report.close()
        with (tmp_path / REPORT).open("ab") as file:
            file.write(b'{"path":"cut')
        again = ReportWriter(writer)
        again.close()
    assert set(again.rows) == {key(videos["whole"]), key(videos["failed"])}
    assert set(rows(tmp_path)) == {"whole", "failed"}


# --- the command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with all that can be wrong, and the data set that was made of it."""
    source, out = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("data") / "set"
    film(source / "nod/one.mp4", 20)
    film(source / "nod/two [x].mp4", 30, seed=1)
    film(source / "rest/nobody.mp4", 5, seed=None)
    (source / "rest/empty.mp4").touch()
    (source / "rest/text.mp4").write_text("no video " * 1000)
    done = extract(source, out, "--workers", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 of 5 videos gave no sequence" in done.stdout
    return source, out


def test_every_video_is_a_row_and_those_of_a_person_a_sequence(made: tuple[Path, Path]) -> None:
    source, out = made
    report, manifest = rows(out), read_manifest(out)
    assert {path: row["outcome"] for path, row in report.items()} == {
        "nod/one.mp4": "ok",
        "nod/two [x].mp4": "ok",
        "rest/nobody.mp4": "failed",
        "rest/empty.mp4": "failed",
        "rest/text.mp4": "failed",
    }
    assert "nobody is in view" in report["rest/nobody.mp4"]["reason"]
    assert "is empty" in report["rest/empty.mp4"]["reason"]
    assert "not a video that can be decoded" in report["rest/text.mp4"]["reason"]
    assert {row["file"] for row in report.values()} - {""} == set(manifest) == {
        "nod/one-000.npz",
        "nod/two _x_-000.npz",
    }  # fmt: skip
    assert manifest["nod/one-000.npz"].origin == str(source / "nod/one.mp4")
    assert manifest["nod/one-000.npz"].issues == []
    row = report["nod/one.mp4"]
    assert (row["frames"], row["pose"], row["face"], row["duration_s"]) == (20, 1.0, 1.0, 0.76)
    assert row["rate"] > 0


def test_the_numbers_are_the_live_pipelines_also_of_a_second_video(made: tuple[Path, Path]) -> None:
    source, out = made
    for video, file in (("nod/one.mp4", "nod/one-000.npz"), ("nod/two [x].mp4", "nod/two _x_-000.npz")):
        sequence = sequences.read(out / file)
        np.testing.assert_array_equal(sequence.keypoints, live(source / video))
        assert (np.diff(sequence.captured_ns) == 40_000_000).all()
        assert (sequence.label, sequence.fps) == ("nod", FPS)


def test_what_is_finished_is_not_done_again_but_what_changed_is(made: tuple[Path, Path]) -> None:
    source, out = made
    before = (out / REPORT).read_bytes()
    again = extract(source, out)
    assert again.returncode == 0 and "5 of 5 videos are finished already" in again.stdout
    assert (out / REPORT).read_bytes() == before
    film(source / "rest/empty.mp4", 3, seed=None)
    once_more = extract(source, out, "--workers", 1)
    assert once_more.returncode == 0 and "4 of 5" in once_more.stdout


def test_a_stretch_is_what_lies_between_start_and_end(made: tuple[Path, Path], tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text(
        f"path,label,start,end\n{made[0] / 'nod/one.mp4'},nod,0.2,0.6\n{made[0] / 'nod/one.mp4'},nod,5,6\n"
    )
    done = extract(listed, tmp_path / "set", "--workers", 1)
    assert done.returncode == 0, done.stderr
    (sequence,) = (sequences.read(path) for path in (tmp_path / "set").rglob("*.npz"))
    assert sequence.captured_ns.tolist() == [number * 40_000_000 for number in range(5, 15)]
    assert "no frame between its start and end" in (tmp_path / "set" / REPORT).read_text()


def test_what_a_user_gets_wrong_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    film(tmp_path / "in/wave.mp4", 2)
    for source, out, said in (
        (tmp_path / "no", tmp_path / "set", "neither a folder of videos nor"),
        (tmp_path, tmp_path / "file", "cannot be written"),
    ):
        done = extract(source, out)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr
    assert not (tmp_path / "set").exists()


# --- cut off


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("many")
    film(source / "nod/0.mp4", 25)
    for number in range(1, 8):
        (source / f"nod/{number}.mp4").write_bytes((source / "nod/0.mp4").read_bytes())
    return source


def cut_off(source: Path, out: Path, stop: Callable[["subprocess.Popen[str]"], None]) -> tuple[int, str]:
    """Run it until two videos are finished, and stop it."""
    command, report = ["-m", "data.extract", source, "--out", out, "--workers", 2], out / REPORT
    how = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with python(*command, **how) as process:
        until(lambda: report.exists() and report.read_bytes().count(b"\n") >= 2, 60, lambda: process.poll() is None)
        stop(process)
        assert process.stderr is not None
        said = process.stderr.read()
    return process.returncode, said


def complete(source: Path, out: Path) -> None:
    """Every video has one row and one sequence, none of the finished ones was done again."""
    finished = {p: p.stat().st_mtime_ns for p in out.rglob("*.npz")}
    assert 1 <= len(finished) < 8
    done = extract(source, out)
    assert done.returncode == 0, done.stderr
    report = rows(out)
    assert {row["outcome"] for row in report.values()} == {"ok"}
    assert len(report) == len({row["file"] for row in report.values()}) == len(read_manifest(out)) == 8
    assert {p: p.stat().st_mtime_ns for p in finished} == finished


def test_after_a_kill_of_all_processes_it_resumes(many: Path, tmp_path: Path) -> None:
    assert cut_off(many, tmp_path, lambda process: process.kill())[0] == -signal.SIGKILL
    complete(many, tmp_path)


def test_ctrl_c_is_one_line_and_keeps_what_is_finished(many: Path, tmp_path: Path) -> None:
    code, said = cut_off(many, tmp_path, lambda process: os.killpg(process.pid, signal.SIGINT))
    assert (code, said.count("\n")) == (130, 1)
    assert "Interrupted" in said
    complete(many, tmp_path)


def test_a_worker_that_is_killed_costs_one_row_and_the_video_gets_another_chance(many: Path, tmp_path: Path) -> None:
    def kill_one(process: "subprocess.Popen[str]") -> None:
        victim: psutil.Process = processes(process.pid)[0]
        victim.kill()

    code, said = cut_off(many, tmp_path, kill_one)
    assert (code, said) == (0, "")
    crashed = [row for row in rows(tmp_path).values() if row["outcome"] != "ok"]
    assert [(row["outcome"], row["reason"]) for row in crashed] == [("crashed", "its worker was killed by SIGKILL")]
    assert len(rows(tmp_path)) == 8
    complete(many, tmp_path)


@pytest.mark.parametrize("bytes_left", [100, 20_000])
def test_on_a_full_disk_it_ends_in_one_line_and_resumes_later(
    made: tuple[Path, Path], tmp_path: Path, bytes_left: int
) -> None:
    """A limit on file size stands for the full disk: the write of the row, or of the sequence, fails."""
    (tmp_path / "list.csv").write_text(f"path,label\n{made[0] / 'nod/one.mp4'},nod\n")
    full = extract(
        tmp_path / "list.csv",
        tmp_path / "set",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, bytes_left)),
    )
    assert (full.returncode, full.stderr.count("\n")) == (2, 1), full.stderr
    assert "File too large" in full.stderr
    assert not list((tmp_path / "set").rglob("*.npz*"))
    assert extract(tmp_path / "list.csv", tmp_path / "set").returncode == 0
    assert [row["file"] for row in rows(tmp_path / "set").values()] == list(read_manifest(tmp_path / "set"))


# --- other people's videos


def test_a_logo_is_not_a_person_and_frames_cut_away_are_not_missed(shared: Path) -> None:
    video = Video(shared / "clips/nobody.mp4", "nobody.mp4", "rest")
    result = VideoExtractor()(video)
    assert "neither face nor hands" in result_row(video, result).reason
    assert (len(result.captured_ns), result.warnings) == (95, ()), "of 98, the first 3 lie before the start of the clip"


def test_landmarks_are_those_of_mediapipes_own_holistic(shared: Path) -> None:
    """Median distance of the visible points, in widths of the image: it smooths inside the graph, we behind it.

    The left hand is never in view. signer_mit.pose is of no use here: it is another recording, of 170 frames at 24
    frames/s; the clip has 58 at 29.9.
    """
    clip = shared / "clips/signer_mit.mp4"
    ours, theirs, size = VideoExtractor()(Video(clip, clip.name, "wave")).keypoints, reference(clip), (1.0, 720 / 540)
    assert ours.shape == theirs.shape == (58, 1662)
    for part in (VISIBLE, "face", "right_hand"):
        apart = distance(positions(ours, part, size), positions(theirs, part, size))
        print(f"{part}: median {apart:.6f} of the width")
        assert apart < 0.01
