"""Draw calibration and latency of an evaluated model, as SVG.

No text from outside is drawn: Matplotlib would read formulas in it, and lacks most of the world's letters.
"""

import io
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from models.evaluation.evaluator import Evaluation
from models.evaluation.event_metrics import matched

SIZE: Final = (4.0, 3.3)  # inches, of which three stand side by side
MIN_ACCURACY: Final = 0.5  # accuracy at the foot of an axis, where none is lower
FIRST, SECOND, INK, GROUND, PAPER = "#6ab4ff", "#ff9f43", "#dddddd", "#222222", "#181818"


def draw(result: Evaluation) -> Iterator[bytes]:
    """Yield a reliability diagram, accuracy vs. coverage, and the distribution of latency."""
    import matplotlib as mpl  # takes a second, which an evaluation without a report need not wait for
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
        for fill in (_reliability, _coverage, _latency):
            figure, content = Figure(SIZE, facecolor=PAPER, layout="constrained"), io.BytesIO()
            fill(figure.subplots(), result)
            figure.savefig(content, format="svg", metadata={"Date": None})
            yield content.getvalue()


def _reliability(axes: Any, result: Evaluation) -> None:
    most = max(row.count for row in result.windows.reliability)
    for row in result.windows.reliability:
        if row.accuracy is not None:
            alpha = 0.2 + 0.8 * (row.count / most)  # 0.8 * 3 / 3 is over 0.8
            axes.bar(row.low, row.accuracy, row.high - row.low, align="edge", color=FIRST, alpha=alpha)
    axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence in a window (paler: fewer windows)", ylabel="accuracy")
    axes.set_title("Reliability diagram")


def _coverage(axes: Any, result: Evaluation) -> None:
    by_confidence = sorted(result.cases, key=lambda case: -case.confidence)
    answered = np.arange(1, len(by_confidence) + 1)
    accuracy = np.cumsum([case.predicted == case.label for case in by_confidence]) / answered
    axes.plot(answered / len(by_confidence), accuracy, color=FIRST)
    axes.set(xlim=(0, 1), ylim=(min(MIN_ACCURACY, accuracy.min()) - 0.02, 1.02), ylabel="accuracy on these")
    axes.set(xlabel="coverage: sequences answered, by confidence")
    axes.set_title("Accuracy vs. coverage")


def _latency(axes: Any, result: Evaluation) -> None:
    hits, step = matched(result.detections, result.ground_truth), 1 / max(len(result.ground_truth), 1)
    for since, colour in (("start_s", FIRST), ("end_s", SECOND)):
        seconds = sorted(one.reported_s - getattr(span, since) for one, span in hits)
        axes.step(
            seconds, np.arange(1, len(seconds) + 1) * step, color=colour, where="post", label=f"{since[:-2]} latency"
        )
    axes.set(ylim=(0, 1.02), xlabel="seconds", ylabel="ratio of actions reported")
    axes.legend(facecolor=GROUND)
    axes.set_title("Latency")
