"""Every edit is atomic, wherever it is killed, and can be undone."""

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.recording import sequence as sequences
from common.recording.dataset_writer import MANIFEST, DatasetWriter, read_manifest
from data.curation.edit import DONE, UNDO, Editor
from tests.common.recording.test_sequence import made

NAMES = ["wave/a", "wave/b", "push up/right/a"]
EDITS: list[Callable[[Editor], str]] = [
    lambda editor: editor.delete("wave/a"),
    lambda editor: editor.relabel("wave/a", "push up/wrong"),
    lambda editor: editor.trim("wave/a", 0.04, 0.12),
]

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload([__name__])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with DatasetWriter(tmp_path / "set") as writer:
        writer.add("a", made("wave", frames=6), origin="a.mp4", issues=["dark"])
        writer.add("b", made("wave", frames=7))
        writer.add("a", made("push up/right", frames=8))
    (tmp_path / "set/wave/a.mp4").write_bytes(b"video")
    return tmp_path / "set"


def state(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Every file but the edits' own, and what the manifest says."""
    files = [path for path in folder.rglob("*") if path.is_file() and UNDO not in path.parts and path.name != MANIFEST]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}, read_manifest(folder)


def seen(folder: Path) -> list[tuple[str, int]]:
    """What a reader finds: labels and lengths."""
    read = map(sequences.read, folder.rglob("*.npz"))
    return sorted((sequence.label, len(sequence.keypoints)) for sequence in read)


def test_delete_includes_the_files_beside(folder: Path) -> None:
    with Editor(folder) as editor:
        assert "delete wave/a" in editor.delete("wave/a")
    assert seen(folder) == [("push up/right", 8), ("wave", 7)]
    assert sorted(read_manifest(folder)) == ["push up/right/a.npz", "wave/b.npz"]
    assert not list(folder.rglob("*.mp4"))


def test_relabel_moves_and_rewrites(folder: Path) -> None:
    with Editor(folder) as editor:
        editor.relabel("wave/a", "push up/wrong")
        editor.relabel("wave/b.npz", "hello")
    assert seen(folder) == [("hello", 7), ("push up/right", 8), ("push up/wrong", 6)]
    assert (folder / "push up/wrong/a.mp4").read_bytes() == b"video"
    assert not (folder / "wave").exists()
    entry = read_manifest(folder)["push up/wrong/a.npz"]
    assert (entry.label, entry.origin, entry.issues) == ("push up/wrong", "a.mp4", ["dark"])


def test_relabel_puts_right_what_was_moved_by_hand(folder: Path) -> None:
    (folder / "wave/b.npz").rename(folder / "push up/right/b.npz")
    with Editor(folder) as editor:
        editor.relabel("push up/right/b", "push up/right")
        assert seen(folder) == [("push up/right", 7), ("push up/right", 8), ("wave", 6)]
        editor.undo()
    assert seen(folder) == [("push up/right", 8), ("wave", 6), ("wave", 7)]


def test_trim_keeps_the_times_of_what_stays(folder: Path) -> None:
    before = sequences.read(folder / "wave/a.npz")
    with Editor(folder) as editor:
        editor.trim("wave/a", 0.04, 0.12)
    after = sequences.read(folder / "wave/a.npz")
    assert (after.keypoints == before.keypoints[1:4]).all()
    assert (after.captured_ns == before.captured_ns[1:4]).all()
    assert read_manifest(folder)["wave/a.npz"].frames == 3
    assert (folder / "wave/a.mp4").exists()


edits = st.one_of(
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("relabel"), st.sampled_from(NAMES), st.sampled_from(["wave", "hello", "push up/right"])),
    st.tuples(st.just("trim"), st.sampled_from(NAMES), st.sampled_from([0.0, 0.05]), st.sampled_from([0.08, 0.2])),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(edits, max_size=6))
def test_every_row_of_edits_is_undone_one_by_one(folder: Path, row: list[tuple[Any, ...]]) -> None:
    states = [state(folder)]
    for method, *arguments in row:
        try:
            with Editor(folder) as editor:
                getattr(editor, method)(*arguments)
            states.append(state(folder))
        except UserError:
            assert state(folder) == states[-1]
    while len(states) > 1:
        assert state(folder) == states.pop()
        with Editor(folder) as editor:
            editor.undo()
    assert state(folder) == states.pop()
    with Editor(folder) as editor, pytest.raises(UserError, match="nothing to undo"):
        editor.undo()
    assert not (folder / UNDO).exists()


def killed_at(step: int, folder: Path, edit: int | None) -> None:
    """Run in a process of its own: an edit, or undo, that is killed before its step-th change on the disk."""
    changes = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}
    left = step

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in changes and str(folder) in str(arguments[0]) and arguments[1:2] != ("r",):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    with Editor(folder) as editor:
        sys.addaudithook(hook)
        _ = editor.undo() if edit is None else EDITS[edit](editor)


def ended(function: Callable[..., None], *arguments: Any) -> int | None:
    """The exit code of a process that runs the function."""
    process = forks.Process(target=function, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def killed(step: int, folder: Path, edit: int | None) -> bool:
    exit_code = ended(killed_at, step, folder, edit)
    assert exit_code in (0, -signal.SIGKILL)
    return exit_code != 0


@pytest.mark.parametrize("edit", range(len(EDITS)))
@pytest.mark.parametrize("undone", [False, True])
def test_a_kill_at_any_step_leaves_all_or_nothing(folder: Path, tmp_path: Path, edit: int, undone: bool) -> None:
    before, seen_before = state(folder), seen(folder)
    with Editor(folder) as editor:
        editor.delete("wave/b")
        editor.undo()
        assert state(folder) == before
        if undone:
            EDITS[edit](editor)
    shutil.copytree(folder, tmp_path / "done")
    if not undone:
        with Editor(tmp_path / "done") as editor:
            EDITS[edit](editor)
    seen_after, step = seen(tmp_path / "done"), 1
    while killed(step, copy := shutil.copytree(folder, tmp_path / f"{step}"), None if undone else edit):
        assert seen(copy) in (seen_before, seen_after)
        with Editor(copy) as editor:
            if undone and (copy / UNDO).exists():
                editor.undo()
        assert state(copy) == before
        step += 1
    assert step > 8


def test_an_edit_that_was_killed_is_undone_before_the_next(folder: Path) -> None:
    assert killed(12, folder, 1)
    with Editor(folder) as editor:
        assert editor.interrupted == "relabel wave/a push up/wrong"
        editor.delete("wave/a")
    assert seen(folder) == [("push up/right", 8), ("wave", 7)]


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("delete", ["wave/c"], "no sequence wave/c"),
        ("delete", ["wave"], "cannot name a label"),
        ("delete", ["../set/wave/a"], "cannot"),
        ("delete", ["/wave/a"], "cannot"),
        ("delete", [""], "cannot"),
        ("relabel", ["wave/a", "wave"], "already"),
        ("relabel", ["wave/a", "push up/right"], "there already"),
        ("relabel", ["wave/a", ".."], "cannot"),
        ("relabel", ["wave/a", "a/b/c"], "more than two levels"),
        ("relabel", ["wave/a", ""], "cannot"),
        ("relabel", ["wave/a", "x" * 300], "more than 100 bytes"),
        ("relabel", ["wave/a", "\U0001f44b"], "cannot"),
        ("trim", ["wave/a", 0.1, 0.1], "cannot be trimmed"),
        ("trim", ["wave/a", 0.2, 0.1], "cannot be trimmed"),
        ("trim", ["wave/a", -1.0, 0.1], "cannot be trimmed"),
        ("trim", ["wave/a", float("nan"), 0.1], "cannot be trimmed"),
        ("trim", ["wave/a", 0.0, float("inf")], "cannot be trimmed"),
        ("trim", ["wave/a", 5.0, 6.0], "none of its frames"),
        ("trim", ["wave/a", 0.0, 6.0], "all of its frames"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, method: str, arguments: list[Any], said: str) -> None:
    before = state(folder)
    with Editor(folder) as editor, pytest.raises(UserError, match=said):
        getattr(editor, method)(*arguments)
    assert state(folder) == before
    assert not (folder / UNDO).exists()


def test_what_is_no_native_data_set_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python -m data\.convert"):
        Editor(tmp_path)
    with pytest.raises(UserError, match="There is no data set"):
        Editor(tmp_path / "none")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "said"),
    [("begun.json", "is from before release .* convert"), (DONE, "cannot be read, remove .*000001")],
)
def test_a_journal_from_before_the_release_says_what_to_do(folder: Path, name: str, said: str) -> None:
    record = folder / UNDO / "000001" / name
    record.parent.mkdir(parents=True)
    record.write_text('{"what":"delete wave/c","before":{"file":"wave/c.npz","recorder":"anna"},"was":"00"}')
    before = state(folder)
    with pytest.raises(UserError, match=said), Editor(folder) as editor:
        editor.undo()
    assert state(folder) == before
    assert record.exists()


def test_nothing_is_edited_while_another_program_writes(folder: Path) -> None:
    with DatasetWriter(folder), pytest.raises(UserError, match="Another program is writing"):
        Editor(folder)


def test_a_file_with_a_number_that_is_not_finite_is_named_and_can_be_deleted(folder: Path) -> None:
    sequence = made("wave", frames=6)
    sequence.keypoints[2, 5] = float("nan")
    (folder / "wave/a.npz").write_bytes(sequences.pack(sequence))
    with Editor(folder) as editor:
        with pytest.raises(UserError, match=r"a\.npz holds a number that is not finite in frame 2"):
            editor.trim("wave/a", 0.0, 0.1)
        editor.delete("wave/a")


@pytest.mark.parametrize("edit", range(len(EDITS)))
def test_a_disk_that_refuses_leaves_all_as_it_was(folder: Path, edit: int) -> None:
    (folder / UNDO).write_text("a file where a folder must be")
    before = state(folder)
    with Editor(folder) as editor, pytest.raises(UserError, match="cannot be changed"):
        EDITS[edit](editor)
    assert state(folder) == before


def on_a_full_disk(folder: Path, edit: int) -> None:
    """A limit on file size stands for the full disk: the records still fit, the sequence no longer."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Editor(folder) as editor:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        with pytest.raises(UserError, match="cannot be changed"):
            EDITS[edit](editor)


@pytest.mark.parametrize("edit", range(len(EDITS)))
def test_a_full_disk_leaves_all_as_it_was(folder: Path, edit: int) -> None:
    before = state(folder)
    assert ended(on_a_full_disk, folder, edit) == 0
    assert state(folder) == before
    assert not (folder / UNDO).exists()


def as_a_stranger(folder: Path) -> None:
    """From within the folder, since the way to it may be closed to others."""
    os.chdir(folder)
    os.setuid(65534)
    with pytest.raises(UserError, match="cannot be written: Permission denied"):
        Editor(Path())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user who may become another")
def test_a_folder_that_one_may_only_read_is_named(folder: Path) -> None:
    before = state(folder)
    assert ended(as_a_stranger, folder) == 0
    assert state(folder) == before


def test_undo_refuses_where_something_else_was_changed_since(folder: Path) -> None:
    with Editor(folder) as editor:
        editor.delete("wave/a")
        editor.add("a", made("wave", frames=3))
        with pytest.raises(UserError, match=r"wave/a\.npz was changed later"):
            editor.undo()
        editor.remove("wave/a.npz")
        editor.undo()
        editor.trim("wave/a", 0.0, 0.1)
        editor.remove("wave/a.npz")
        with pytest.raises(UserError, match=r"wave/a\.npz was changed later"):
            editor.undo()
    assert seen(folder) == [("push up/right", 8), ("wave", 7)]


@pytest.mark.parametrize("record", [b"", b"{}", None])
def test_a_record_that_is_damaged_or_leads_elsewhere_is_not_followed(folder: Path, record: bytes | None) -> None:
    with Editor(folder) as editor:
        editor.delete("wave/a")
    path = folder / UNDO / "000001" / DONE
    path.write_bytes(path.read_bytes().replace(b"wave/a.npz", b"../../a.npz") if record is None else record)
    before = state(folder.parent)
    with Editor(folder) as editor, pytest.raises(UserError, match="cannot be read"):
        editor.undo()
    assert state(folder.parent) == before


def test_a_link_that_leads_elsewhere_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "2024").mkdir()
    (folder / UNDO).symlink_to(tmp_path)
    with pytest.raises(UserError, match="is a link"):
        Editor(folder)
    assert (tmp_path / "2024").exists()
