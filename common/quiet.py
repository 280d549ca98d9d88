"""Keeps the lines that libraries in C++ print by themselves from the terminal; what goes wrong in them is raised."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def quiet_tensorflow() -> None:
    """To be called before tensorflow is imported, which reads this then."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def quiet() -> Iterator[None]:
    """What is written to the standard error meanwhile is dropped: for calls whose errors reach us otherwise."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
