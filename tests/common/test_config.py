"""Check settings from four places, and errors that name place, key and value."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from common.config import DEFAULT_FILE, FILES_VARIABLE, PREFIX, Settings, load
from common.errors import UserError
from tests.pace import patience

ROOT = DEFAULT_FILE.parent.parent
KEYS = [
    (section.name, field.name)
    for section in msgspec.structs.fields(Settings)
    for field in msgspec.structs.fields(section.type)
]


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILES_VARIABLE, raising=False)


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def complaint(files: list[str] | None = None, sets: list[str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load(files, sets)
    return str(caught.value)


def test_the_shipped_file_alone_is_a_complete_and_valid_configuration() -> None:
    settings = load()
    assert (settings.bus.host, settings.bus.port, settings.camera.stream) == ("127.0.0.1", 5550, "cam")
    shipped = yaml.safe_load(DEFAULT_FILE.read_text(encoding="utf-8"))
    assert [(section, key) for section, keys in shipped.items() for key in keys] == KEYS


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_setting_is_explained_where_it_is_set(section: str, key: str) -> None:
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    body = text.split(f"\n{section}:")[1].split("\n\n")[0]
    assert re.search(rf"^  {key}: [^#\n]+ # \S", body, re.MULTILINE), f"{section}.{key} has no comment"


def test_each_place_goes_before_the_ones_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def width() -> int | None:
        return load(files, sets).camera.width

    files: list[str] = []
    sets: list[str] = []
    found = [width()]
    (tmp_path / "named.yaml").write_text("camera: {width: 100}")
    monkeypatch.setenv(FILES_VARIABLE, str(tmp_path / "named.yaml"))
    found.append(width())
    files.append(written(tmp_path, "camera: {width: 200}"))
    found.append(width())
    monkeypatch.setenv(f"{PREFIX}CAMERA__WIDTH", "300")
    found.append(width())
    sets.append("camera.width=400")
    found.append(width())
    sets.append("camera.width=500")
    found.append(width())
    assert found == [None, 100, 200, 300, 400, 500]


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    settings = load([written(tmp_path, "camera:\n  mirror: true\nbus:\n")])
    assert settings.camera.mirror
    assert msgspec.structs.replace(settings.camera, mirror=False) == load().camera
    assert settings.bus == load().bus


def test_several_files_in_the_variable_are_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("camera: {width: 100, height: 100}")
    (tmp_path / "b.yaml").write_text("camera: {height: 200}")
    monkeypatch.setenv(FILES_VARIABLE, f"{tmp_path / 'a.yaml'}:{tmp_path / 'b.yaml'}")
    assert (load().camera.width, load().camera.height) == (100, 200)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("camera.breadth", "640", "width"),  # unknown key
        ("kamera.width", "640", "camera"),  # unknown section
        ("camera.width", "wide", "int"),
        ("camera.width", "6.5", "int"),
        ("camera.width", "true", "int"),
        ("camera.width", "8", "16"),
        ("camera.width", "9999", "8192"),
        ("camera.fps", "0", "0"),
        ("camera.fps", ".nan", "0"),
        ("camera.rotate", "45", "0, 90, 180, 270"),
        ("camera.stream", "a/b", "str"),
        ("camera.stream", "..", "str"),
        ("camera.wait_for", "keypoints", "array"),
        ("camera.wait_for", "[1]", "str"),
        ("bus.port", "80", "1024"),
        ("bus.port", "65533", "65532"),  # four ports in a row
        ("bus.port", "null", "int"),
        ("decision.start_threshold", "1.1", "1"),
        ("keypoints.smooth", "perhaps", "bool"),
        ("overlay.window", "maybe", "auto"),
    ],
)
def test_a_bad_value_is_reported_with_place_key_value_and_what_is_allowed(
    key: str, value: str, allowed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section, name = key.split(".")
    file = written(tmp_path, f"{section}:\n  {name}: {value}\n")
    variable = f"{PREFIX}{section}__{name}".upper()
    complaints = {file: complaint([file]), f"--set {key}={value}": complaint(sets=[f"{key}={value}"])}
    monkeypatch.setenv(variable, value)
    complaints[f"environment variable {variable}"] = complaint()
    for place, text in complaints.items():
        assert text.startswith(place) or section == "kamera", text
        assert section in text and allowed in text.replace(place, ""), text
        if "no such setting" not in text:
            shown = repr(yaml.safe_load(value))
            assert f"{key}: " in text and text.endswith(f"not {shown}."), text


@pytest.mark.parametrize(
    "text", ["camera: [", "a: b: c", "\tx: 1", "camera: {width: 2024-99-99}", "\x00", "x: !!python/object:os.system {}"]
)
def test_a_file_that_is_not_yaml_is_reported_with_its_name(text: str, tmp_path: Path) -> None:
    assert "mine.yaml" in complaint([written(tmp_path, text)])


@pytest.mark.parametrize(
    "text", ["- camera", "camera", "5", "camera: 5", "camera: []", "1: {2: 3}", "camera: {1: 2}", "null: 3"]
)
def test_a_file_of_another_shape_is_reported_with_its_name(text: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    assert "mine.yaml" in complaint([file])
    complaint([file], ["camera.width=640"])


def test_a_file_that_is_missing_or_a_folder_is_reported_with_its_name(tmp_path: Path) -> None:
    assert "nowhere.yaml" in complaint(["nowhere.yaml"])
    assert str(tmp_path) in complaint([str(tmp_path)])


@pytest.mark.parametrize("text", ["camera.width", "width=640", "=640", "a.b.c=1", "camera.width.x=1", ""])
def test_a_set_of_the_wrong_form_is_reported_as_it_was_written(text: str) -> None:
    assert f"--set {text}" in complaint(sets=[text])


@pytest.mark.parametrize(
    "text", ["2024-99-99", "0x_", "!!timestamp x", "[1", "{a: 1}", "@x", "C:\\clip: 1.mp4", "a: b"]
)
def test_a_source_with_any_name_is_accepted_or_refused_in_one_sentence(text: str) -> None:
    try:
        assert load(sets=[f"camera.source={text}"]).camera.source == text
    except UserError as error:
        assert "camera.source" in str(error)  # noqa: PT017


@given(st.sampled_from(KEYS), st.text(max_size=12))
def test_whatever_is_typed_only_a_user_error_comes_of_it(key: tuple[str, str], text: str) -> None:
    try:
        load(sets=[f"{'.'.join(key)}={text}"])
    except UserError as error:
        assert ".".join(key) in str(error)  # noqa: PT017


# --- the command --------------------------------------------------------------------------------------


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "common.config", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=patience(60), check=False,
    )  # fmt: skip


def test_the_command_prints_settings_that_it_would_read_again(tmp_path: Path) -> None:
    done = command("--set", "camera.width=640")
    assert (done.returncode, done.stderr) == (0, "")
    assert load([written(tmp_path, done.stdout)]) == load(sets=["camera.width=640"])


@pytest.mark.parametrize("arguments", [["--set", "camera.width=8"], ["--config", "nowhere.yaml"], ["--unknown"]])
def test_the_command_ends_with_2_and_a_sentence_instead_of_a_traceback(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 2 and not done.stdout
    assert arguments[-1] in done.stderr and "Traceback" not in done.stderr
