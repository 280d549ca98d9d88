"""Commands as a user types them: in a process of their own, or, where starting one takes longer than all else, here."""

import importlib
import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.pipeline import ROOT

Done = subprocess.CompletedProcess[str]


def run(module: str, *arguments: object) -> Done:
    """`python -m module`."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def call(module: str, *arguments: object, folder: Path = ROOT) -> Done:
    """The same `main`, in this process."""
    said, complained, returncode = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
        patch.setattr(sys, "argv", [module, *map(str, arguments)])
        patch.chdir(folder)
        try:
            importlib.import_module(module).main()
        except SystemExit as end:
            returncode = int(end.code or 0)
    return Done(arguments, returncode, said.getvalue(), complained.getvalue())
