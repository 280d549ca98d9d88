"""Report the progress of a training run."""

import contextlib
from collections.abc import Callable, Iterator

from rich import progress as rich_progress
from rich.console import Console

Progress = Callable[[int, int, float | None], None]  # epochs done, of so many, validation loss


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar for the epochs of each model, if there is a terminal."""
    console = Console(stderr=True)
    with rich_progress.Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("Training")
        yield lambda done, total, _loss: bars.update(bar, completed=done, total=total)
