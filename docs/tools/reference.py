"""Write the reference pages from the code: `python -m docs.tools.reference`."""

import ast
import contextlib
import inspect
import io
import os
import re
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from msgspec import inspect as types

from common import config
from common.bus.messages import Header
from common.bus.topics import TOPICS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
PROGRAMS = ("services/*.py", "data/*.py", "models/*.py", "common/config.py", "tests/bench/*.py")
WIDTH = "100"  # columns of a help text
NOTE = "<!-- Written by `make docs` from the code: edit it there. -->\n"


def commands() -> str:
    """What `make help` and every `--help` say."""
    targets = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    details, plain = [], []
    for module in _programs():
        text = _help(module)
        usage, about, *_ = text.split("\n\n")
        if module.startswith("services.") and usage.endswith(" [-h] [--config FILE] [--set KEY=VALUE]"):
            plain.append(f"| `{module}` | {' '.join(about.split())} |")
        else:
            details.append(f"## {module}\n\n```text\n{text}```\n")
    table = "\n".join(["| service | what it does |", "|---|---|", *plain])
    return (
        f"# Commands\n\n{NOTE}\nRun a module with `.venv/bin/python -m <module>`.\n\n"
        f"## make\n\n```text\n{targets}```\n\n"
        f"## Services without options of their own\n\nThe `Procfile` runs these. They take `--config` and `--set`.\n\n"
        f"{table}\n\n" + "\n".join(details)
    )


def _programs() -> Iterator[str]:
    """The modules that can be run, by name."""
    for pattern in PROGRAMS:
        for path in sorted(ROOT.glob(pattern)):
            if "argparse" in path.read_text() or re.search(r"^    main\(", path.read_text(), re.MULTILINE):
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")


def _help(module: str) -> str:
    said = io.StringIO()
    with (
        mock.patch.dict(os.environ, COLUMNS=WIDTH),
        mock.patch.object(sys, "argv", [module, "--help"]),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(said),
        contextlib.suppress(SystemExit),
    ):
        warnings.simplefilter("ignore")  # it may be imported already
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    return said.getvalue()


def topics() -> str:
    """The table of common/bus/topics.py."""
    rows = [
        "| topic | message | array | published by | a slow subscriber | high-water mark | losses counted by |",
        "|" + "---|" * 7,
    ]
    for topic in TOPICS.values():
        shape = ", ".join("n" if size is None else str(size) for size in topic.shape) if topic.shape else ""
        array = f"{ {'<f4': 'float32', 'u1': 'uint8'}[topic.dtype] } ({shape})" if topic.shape else ""
        keeps = (
            "gets the newest of a live stream, every one of a file" if topic.conflate else "gets every one, in order"
        )
        link = f"[{topic.header.__name__}](messages.md#{topic.header.__name__.lower()})"
        counted = f"`{topic.sequenced}`" if topic.sequenced else ""
        rows.append(f"| `{topic.name}` | {link} | {array} | {topic.publisher} | {keeps} | {topic.hwm} | {counted} |")
    return f"# Topics\n\n{NOTE}\n{TOPICS_TEXT}\n" + "\n".join(rows) + "\n"


TOPICS_TEXT = """\
A message has two or three parts: the topic `name/stream/`, a [header](messages.md) as a MessagePack map, and for some
topics an array as raw little-endian bytes. A subscriber's queue holds as many messages as its high-water mark; what
comes beyond is lost to that subscriber, and counted by gaps in the named field of the header.
"""


def messages() -> str:
    """The structs of common/bus/messages.py."""
    text = [f"# Messages\n\n{NOTE}\nEvery message has the fields of the header.\n\n", _struct("Header", Header)]
    for topic in TOPICS.values():
        text.append(_struct(topic.header.__name__, topic.header, f"Topic [`{topic.name}`](topics.md)."))
    return "".join(text)


def _struct(name: str, kind: type[msgspec.Struct], more: str = "") -> str:
    comments = _comments(kind)
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    rows = [
        f"| `{field.name}` | {type_text(field.type)} | {comments[field.name]} |"
        for field in info.fields
        if field.name in comments
    ]
    about = " ".join(filter(None, [inspect.cleandoc(kind.__doc__ or ""), more]))
    return f"## {name}\n\n{about}\n\n| field | type | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"


def _comments(kind: type) -> dict[str, str]:
    """What the source says beside each field that a class itself defines."""
    lines = inspect.getsource(kind).splitlines()
    body = ast.parse("\n".join(lines)).body[0]
    assert isinstance(body, ast.ClassDef)
    fields = [node for node in body.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return {node.target.id: lines[node.lineno - 1].partition("  # ")[2] for node in fields}  # type: ignore[union-attr]


def type_text(kind: types.Type) -> str:
    """A msgspec type in words."""
    if isinstance(kind, types.UnionType):
        return " or ".join(type_text(one) for one in kind.types)
    if isinstance(kind, types.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, types.DictType):
        return f"map of text to {type_text(kind.value_type)}"
    if isinstance(kind, types.VarTupleType | types.ListType):
        return f"list of {type_text(kind.item_type)}"
    if isinstance(kind, types.IntType | types.FloatType):
        word = "integer" if isinstance(kind, types.IntType) else "number"
        low, high = kind.ge if kind.ge is not None else kind.gt, kind.le
        if high is not None and high < 1e6 and low is not None:
            return f"{word}, {'over ' if kind.ge is None else ''}{low:g} to {high:g}"
        return word if low is None or low < 0 else f"{word}, {'over' if kind.ge is None else 'from'} {low:g}"
    return {types.StrType: "text", types.BoolType: "`true`, `false`", types.NoneType: "`null`"}[type(kind)]


def settings() -> str:
    """The keys, defaults and comments of config/pipeline.yaml, and the types of common/config.py."""
    text = [f"# Settings\n\n{NOTE}\n{SETTINGS_TEXT}"]
    for line in config.DEFAULT_FILE.read_text().splitlines():
        if section := re.match(r"(\w+):(?: # (.*))?$", line):
            fields = _fields(section[1])
            about = f"{section[2]}\n\n" if section[2] else ""
            text.append(f"\n## {section[1]}\n\n{about}| setting | default | allowed | meaning |\n|---|---|---|---|\n")
        elif key := re.match(r"  (\w+): (.*?) # (.*)$", line):
            text.append(f"| `{key[1]}` | `{key[2]}` | {type_text(fields[key[1]])} | {key[3]} |\n")
    return "".join(text)


def _fields(section: str) -> dict[str, Any]:
    info = types.type_info(config.Settings.__annotations__[section])
    assert isinstance(info, types.StructType)
    return {field.name: field.type for field in info.fields}


SETTINGS_TEXT = """\
All are in `config/pipeline.yaml`. Override them, later ones winning:

1. in files of your own, named by `ACTIONSTREAM_CONFIG=one.yaml:two.yaml` or `--config one.yaml`;
2. in the environment, `ACTIONSTREAM__CAMERA__WIDTH=1280`;
3. on the command line, `--set camera.width=1280`.

`python -m common.config` checks them and prints those in force.
"""

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "topics.md": topics,
    "messages.md": messages,
    "settings.md": settings,
}


def main() -> None:
    """Write the reference pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())


if __name__ == "__main__":
    main()
