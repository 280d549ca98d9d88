"""Suppress what C++ libraries print to standard error; their errors are raised as exceptions anyway."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def quiet_tensorflow() -> None:
    """Silence TensorFlow's log; call it before tensorflow is imported, which is when TensorFlow reads the setting."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what is written to standard error meanwhile; only for calls that report errors in another way."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
