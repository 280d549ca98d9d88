"""Load settings from YAML files, the environment and --set, check them, and print them: `python -m common.config`."""

import argparse
import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import yaml
from msgspec import Meta

from common.bus.connection import Endpoints
from common.bus.messages import Name
from common.errors import UserError, command

DEFAULT_FILE = Path(__file__).parent.parent / "config" / "pipeline.yaml"
FILES_VARIABLE = "ACTIONSTREAM_CONFIG"
PREFIX = "ACTIONSTREAM__"

Port = Annotated[int, Meta(ge=1024, le=65532)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
Seconds = Annotated[float, Meta(ge=0, le=1e6)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Pixels = Annotated[int, Meta(ge=16, le=8192)]


class Section(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A section of the settings; config/pipeline.yaml comments each key."""


class Bus(Section):
    """Where the hub is."""

    host: str
    port: Port
    token_file: str | None

    @property
    def endpoints(self) -> Endpoints:
        """Return where the hub is."""
        return Endpoints(self.host, self.port, self.token_file)


class Camera(Section):
    """The source of frames."""

    stream: Name
    source: str | int
    width: Pixels | None
    height: Pixels | None
    fps: Annotated[float, Meta(gt=0, le=1000)] | None
    mirror: bool
    rotate: Literal[0, 90, 180, 270]
    live: bool | None
    loop: bool
    seconds: Positive | None
    seed: Annotated[int, Meta(ge=0)]
    jpeg_quality: Annotated[int, Meta(ge=1, le=100)] | None
    wait_for: list[str]
    wait_s: Seconds


class Extraction(Section):
    """MediaPipe Holistic's thresholds, and the smoothing of the pose."""

    min_detection_confidence: Probability
    min_tracking_confidence: Probability
    smooth: bool


class Windows(Section):
    """The windows that a model classifies."""

    length: Annotated[int, Meta(ge=1, le=1000)] | None
    fps: Annotated[float, Meta(gt=0, le=1000)] | None
    stride: Annotated[int, Meta(ge=1)]
    max_gap_s: Positive


class Inference(Section):
    """The model."""

    model: str | None


class Decision(Section):
    """From probabilities to actions."""

    smoothing_s: Seconds | None
    start_threshold: Probability | None
    end_threshold: Probability | None
    min_duration_s: Seconds | None
    refractory_s: Seconds | None


class Overlay(Section):
    """Where frames are shown."""

    window: bool | Literal["auto"]
    page: bool
    page_port: Port
    video: str | None


class Logger(Section):
    """Where results are written."""

    out: str | None


class Recorder(Section):
    """A recording session."""

    out: str
    labels: list[str]
    sequences: Annotated[int, Meta(ge=1, le=100_000)]
    subject: str
    frames: Annotated[int, Meta(ge=8, le=10_000)] | None
    countdown_s: Seconds
    video: bool


class RecordBus(Section):
    """A recording of the bus."""

    out: str | None
    topics: Annotated[list[str], Meta(min_length=1)]


class Replay(Section):
    """The playback of a recording."""

    file: str | None
    stage: Literal["frames", "keypoints", "windows", "prediction", "action"]
    speed: Annotated[float, Meta(ge=0, le=1000)]


class Settings(Section):
    """All settings, one section for each part of the pipeline."""

    bus: Bus
    camera: Camera
    keypoints: Extraction
    windows: Windows
    inference: Inference
    decision: Decision
    overlay: Overlay
    logger: Logger
    recorder: Recorder
    record_bus: RecordBus
    replay: Replay

    @property
    def model(self) -> str:
        """Return the chosen model folder, or the shipped one for the source."""
        shipped = "pretrained/testcard" if self.camera.source in ("testcard", "auto") else "pretrained/starter"
        return self.inference.model or shipped


def load(files: list[str] | None = None, sets: list[str] | None = None) -> Settings:
    """Load the settings: default file, files of ACTIONSTREAM_CONFIG, `files`, environment, `sets`; later ones win.

    `sets` are strings as in `camera.width=640`. Raises UserError naming place, key, value and what is allowed.
    """
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    named = [name for name in os.environ.get(FILES_VARIABLE, "").split(os.pathsep) if name]
    for name in [str(DEFAULT_FILE), *named, *(files or [])]:
        _merge(merged, _read(name), origins, name)
    for variable in sorted(name for name in os.environ if name.startswith("ACTIONSTREAM_") and "__" not in name):
        if variable != FILES_VARIABLE:
            raise UserError(
                f"{variable} means nothing: a setting is written {PREFIX}SECTION__KEY, with two underscores."
            )
    for variable in sorted(name for name in os.environ if name.startswith(PREFIX)):
        key = variable.removeprefix(PREFIX).lower().replace("__", ".")
        _merge(merged, _nested(key, os.environ[variable], variable), origins, f"environment variable {variable}")
    for text in sets or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text}: write it as section.key=value, such as --set camera.width=640.")
        _merge(merged, _nested(key.strip(), value, f"--set {text}"), origins, f"--set {text}")
    return _checked(merged, origins)


def _read(name: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The settings file {name} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:  # PyYAML raises them all
        raise UserError(f"The settings file {name} is not YAML: {' '.join(str(error).split())}.") from error
    if content is not None and not isinstance(content, dict):
        raise UserError(f"The settings file {name} must hold sections such as 'camera:', not {content!r}.")
    for section, values in (content or {}).items():
        keys = [section, *values] if isinstance(values, dict) else [section]
        if not isinstance(values, dict | None) or not all(isinstance(key, str) for key in keys):
            raise UserError(f"{name}: {section}: must hold settings such as 'width: 640', not {values!r}.")
    return content or {}


def _nested(key: str, text: str, where: str) -> dict[str, Any]:
    section, dot, name = key.partition(".")
    if not dot or "." in name:
        raise UserError(f"{where}: a setting is named section.key, such as camera.width; {key!r} is not.")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError):  # PyYAML raises them all
        value = text
    return {section: {name: text if isinstance(value, dict) else value}}  # a file's name may have a colon


def _merge(into: dict[str, Any], new: dict[str, Any], origins: dict[str, str], where: str) -> None:
    for section, values in new.items():
        if isinstance(values, dict):
            into[section] = {**into.get(section, {}), **values}
            origins.update({f"{section}.{key}": where for key in values})
        elif values is not None:
            into[section] = values
        origins[str(section)] = where


def _checked(merged: dict[str, Any], origins: dict[str, str]) -> Settings:
    try:
        return msgspec.convert(merged, Settings)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        key = path.strip("`.").split("[")[0]
        if "unknown field" in reason:
            unknown = reason.split("`")[1]
            known = ", ".join(_keys(key))
            key = f"{key}.{unknown}".strip(".")
            raise UserError(f"{origins.get(key, 'settings')}: {key}: no such setting; there are {known}.") from error
        value: Any = merged
        for step in key.split("."):
            value = value.get(step) if isinstance(value, dict) else value
        where = origins.get(key, origins.get(key.split(".")[0], "settings"))
        allowed = _choices(key) or reason[0].lower() + reason[1:].split(", got")[0]
        raise UserError(f"{where}: {key}: {allowed}, not {value!r}.") from error


def _keys(section: str) -> list[str]:
    kind = Settings.__annotations__[section] if section else Settings
    return [field.name for field in msgspec.structs.fields(kind)]


def _choices(key: str) -> str | None:
    """Return what a setting with fixed choices allows."""
    section, _, name = key.partition(".")
    kind = Settings.__annotations__[section].__annotations__.get(name)
    literals = [str(v) for part in (kind, *get_args(kind)) if get_origin(part) is Literal for v in get_args(part)]
    if bool in get_args(kind):
        literals = ["true", "false", *literals]
    return f"one of {', '.join(literals)}" if literals else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two options that every command with settings has."""
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="YAML file over the defaults")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="such as camera.width=640")


def main() -> None:
    """Check the settings and print them."""
    parser = argparse.ArgumentParser(prog="python -m common.config", description="Check the settings and print them.")
    add_arguments(parser)
    arguments = parser.parse_args()
    with command():
        settings = load(arguments.config, arguments.set)
    print(yaml.safe_dump(msgspec.to_builtins(settings), sort_keys=False), end="")


if __name__ == "__main__":
    main()
