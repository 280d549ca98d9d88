"""What a judgement found in; curves about how sure and how soon it was, as SVG, out.

No text from outside is in them: Matplotlib would read formulas in it, and lacks most of the world's letters.
"""

import io
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from models.evaluation.evaluator import Result
from models.evaluation.event_metrics import paired

SIZE: Final = (4.0, 3.3)  # inches, of which three stand side by side
LEAST_SHOWN: Final = 0.5  # accuracy at the foot of an axis, where none is lower
RIGHT, OTHER, INK, GROUND, PAPER = "#6ab4ff", "#ff9f43", "#dddddd", "#222222", "#181818"


def draw(result: Result) -> Iterator[bytes]:
    """Three figures."""
    import matplotlib as mpl  # takes a second, which a judgement without a page need not wait for
    from matplotlib.figure import Figure

    inks = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    look: dict[Any, Any] = {
        **inks,
        "axes.facecolor": GROUND,
        "font.size": 9,
        "axes.titlesize": 10,
        "svg.hashsalt": "curves",
    }
    with mpl.rc_context(look):
        for fill in (_reliability, _answered, _delays):
            figure, content = Figure(SIZE, facecolor=PAPER, layout="constrained"), io.BytesIO()
            fill(figure.subplots(), result)
            figure.savefig(content, format="svg", metadata={"Date": None})
            yield content.getvalue()


def _reliability(axes: Any, result: Result) -> None:
    known = [row for row in result.windows.reliability if row.count]
    most = max(row.count for row in known)
    for row in known:
        assert row.accuracy is not None
        alpha = 0.2 + 0.8 * row.count / most
        axes.bar(row.low, row.accuracy, row.high - row.low, align="edge", color=RIGHT, alpha=alpha)
    axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence in a window (paler: fewer windows)", ylabel="share right")
    axes.set_title("Does confidence mean what it says?")


def _answered(axes: Any, result: Result) -> None:
    surest = sorted(result.cases, key=lambda case: -case.confidence)
    answered = np.arange(1, len(surest) + 1)
    accuracy = np.cumsum([case.told == case.label for case in surest]) / answered
    axes.plot(answered / len(surest), accuracy, color=RIGHT)
    axes.set(xlim=(0, 1), ylim=(min(LEAST_SHOWN, accuracy.min()) - 0.02, 1.02), ylabel="accuracy of these")
    axes.set(xlabel="share of sequences answered, the surest first")
    axes.set_title("What refusing to answer gains")


def _delays(axes: Any, result: Result) -> None:
    hits, share = paired(result.found, result.true), 1 / max(len(result.true), 1)
    for since, colour in (("start_s", RIGHT), ("end_s", OTHER)):
        delays = sorted(one.reported_s - getattr(span, since) for one, span in hits)
        axes.step(
            delays, np.arange(1, len(delays) + 1) * share, color=colour, where="post", label=f"after its {since[:-2]}"
        )
    axes.set(ylim=(0, 1.02), xlabel="seconds", ylabel="share of all actions told")
    axes.legend(facecolor=GROUND)
    axes.set_title("How soon is an action told?")
