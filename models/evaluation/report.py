"""What a judgement found in; a folder with one page that needs no network out: tables, curves, stick figures."""

import base64
import html
import math
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Row
from pathlib import Path
from typing import Final

import cv2

from common.errors import UserError
from common.files import atomic_write
from common.recording.sequence import KeypointSequence
from data.curation import contact_sheet
from models.evaluation import curves
from models.evaluation.evaluator import Case, Result
from models.evaluation.event_metrics import EventScores
from models.evaluation.metrics import Scores
from models.simulation.spans import Span

PAGE_NAME: Final = "report.html"
WORST: Final = 24  # sequences drawn
LINE_S: Final = 60.0  # of the stream, in a row of the timeline
LINES: Final = 10
RIGHT, WRONG = "106 180 255", "255 159 67"


def write(folder: Path, title: str, result: Result, named: Mapping[str, KeypointSequence]) -> Path:
    """Write the page and say where; one that was there is replaced. Raises UserError where it cannot be written."""
    path = folder / PAGE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(path, page(title, result, named).encode(errors="replace"))  # a folder's name need not be text
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def page(title: str, result: Result, named: Mapping[str, KeypointSequence]) -> str:
    """The whole page; every text from outside is escaped."""
    scores, lines = result.sequences, math.ceil(60 * result.stream.minutes / LINE_S)
    spans = [one.span for one in result.found]
    return PAGE.format(
        title=html.escape(title),
        figures=_figures(result),
        cautions="".join(f"<li>{html.escape(caution)}</li>" for caution in result.cautions),
        count=scores.count,
        confusion=_confusion(scores),
        classes=_classes(scores),
        spread=described_spread(scores),
        recorders=_recorders(scores),
        curves="".join(_image("svg+xml", curve) for curve in curves.draw(result)),
        stream="<br>".join(described(result.stream)),
        timeline="".join(_timeline(result.true, spans, list(scores.classes), min(lines, LINES))),
        line_s=LINE_S,
        cut=f", the first {LINES} of {lines}" if lines > LINES else "",
        worst="".join(_worst(result.cases, named)) or "<p>None is taken for another.</p>",
    )


def described(stream: EventScores) -> Iterator[str]:
    """A sentence for each thing that is measured on the stream."""
    agreement = ", ".join(f"{score:.3f} at overlap {least}" for least, score in stream.f1.items())
    yield f"Stream of {stream.minutes:.1f} minutes: {stream.found} of {stream.actions} actions found"
    yield f"event F1 {agreement}; edit score {stream.edit:.3f}; {stream.false_per_minute:.2f} false actions a minute"
    for since, delay in (("start", stream.from_start), ("end", stream.from_end)):
        if delay:
            yield f"told {delay.p50:.2f} s after an action's {since} (median), {delay.p95:.2f} s at most in 95 %"


def _figures(result: Result) -> str:
    scores, stream = result.sequences, result.stream
    figures = {
        "accuracy": f"{scores.accuracy:.3f}",
        "loss": f"{scores.loss:.3f}",
        **{f"among the best {k}": f"{share:.3f}" for k, share in scores.top.items()},
        "macro F1": f"{scores.macro_f1:.3f}",
        "calibration error": f"{scores.calibration_error:.3f}",
        "event F1 at 0.5": f"{stream.f1['0.5']:.3f}",
        "false actions a minute": f"{stream.false_per_minute:.2f}",
    }
    return "".join(f"<div><b>{value}</b>{name}</div>" for name, value in figures.items())


def _confusion(scores: Scores) -> str:
    """A table: a row for what is right, a column for what was told, as dark as its share of the row."""
    labels = [html.escape(label) for label in scores.classes]
    head = "".join(f"<th class=told><span>{label}</span></th>" for label in labels)
    rows = []
    for number, (label, counts) in enumerate(zip(labels, scores.confusion, strict=True)):
        whole = max(sum(counts), 1)
        cells = "".join(
            f'<td style="background:{_tint(RIGHT if place == number else WRONG, count / whole)}">{count or ""}</td>'
            for place, count in enumerate(counts)
        )
        rows.append(f"<tr><th>{label}</th>{cells}</tr>")
    return f'<table class="confusion"><tr><th></th>{head}</tr>{"".join(rows)}</table>'


def _tint(colour: str, share: float) -> str:
    """As strong as the share's root: a few mistakes must be seen beside many hits."""
    return f"rgb({colour} / {75 * share**0.5:.0f}%)" if share else "#222"


def _classes(scores: Scores) -> str:
    head = "".join(f"<th>{column}</th>" for column in ("", "precision", "recall", "F1", "TP", "FP", "TN", "FN"))
    rows = []
    for label, one in scores.classes.items():
        shares = ["–" if share is None else f"{share:.3f}" for share in (one.precision, one.recall, one.f1)]
        cells = "".join(f"<td>{value}</td>" for value in (*shares, one.tp, one.fp, one.tn, one.fn))
        rows.append(f"<tr><th>{html.escape(label)}</th>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def described_spread(scores: Scores) -> str:
    spread, recorders = scores.spread, len(scores.recorders)
    if recorders == 1:
        return f"one recorder, accuracy: {spread.median:.3f}"
    extremes = f"lowest {spread.lowest:.3f}, median {spread.median:.3f}, highest {spread.highest:.3f}"
    return f"{recorders} recorders, accuracy: {extremes}"


def _recorders(scores: Scores) -> str:
    return "".join(
        f"<tr><th>{html.escape(recorder)}</th>"
        f'<td class="bar"><i style="width:{accuracy:.1%}"></i></td><td>{accuracy:.3f}</td></tr>'
        for recorder, accuracy in scores.recorders.items()
    )


def _timeline(true: Row[Span], found: Row[Span], labels: Row[str], lines: int) -> Iterator[str]:
    """The stream's first minutes, a row each: above what is performed, below what was told."""
    for from_s in (number * LINE_S for number in range(lines)):
        blocks = "".join(
            _block(span, from_s, lane, labels.index(span.label) / len(labels))
            for lane, spans in (("true", true), ("found", found))
            for span in spans
            if span.start_s < from_s + LINE_S and span.end_s > from_s
        )
        yield f'<div class="line">{blocks}</div>'


def _block(span: Span, from_s: float, lane: str, hue: float) -> str:
    left, right = (100 * min(max((at_s - from_s) / LINE_S, 0.0), 1.0) for at_s in (span.start_s, span.end_s))
    label = html.escape(span.label)
    place = f"left:{left:.2f}%;width:{right - left:.2f}%;background:hsl({360 * hue:.0f} 45% 38%)"
    return (
        f'<span class="{lane}" style="{place}" title="{label}, {span.start_s:.2f} to {span.end_s:.2f} s">{label}</span>'
    )


def _worst(cases: Row[Case], named: Mapping[str, KeypointSequence]) -> Iterator[str]:
    for case in [case for case in cases if case.told != case.label][:WORST]:
        told = f"{case.told} ({case.confidence:.2f}) instead of {case.label} ({case.probability:.2f})"
        about = f"{case.name} by {case.recorder}: {told}"
        drawn = cv2.imencode(".png", contact_sheet.stick_figures(named[case.name]))[1].tobytes()
        yield f"<figure><figcaption>{html.escape(about)}</figcaption>{_image('png', drawn)}</figure>"


def _image(kind: str, content: bytes) -> str:
    return f'<img alt="" src="data:image/{kind};base64,{base64.b64encode(content).decode()}">'


PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ background: #181818; color: #ddd; font: 15px sans-serif; margin: 1em auto; max-width: 1130px; padding: 0 1em }}
h2 {{ margin: 1.6em 0 .4em; font-size: 1.15em }} p, small {{ color: #aaa }} .cautions li {{ color: #ff9f43 }}
.figures {{ display: flex; flex-wrap: wrap; gap: .6em }}
.figures div {{ background: #262626; border-radius: 6px; padding: .6em 1em; color: #aaa; font-size: 13px }}
.figures b {{ display: block; font-size: 1.7em; color: #fff }}
.side {{ display: flex; flex-wrap: wrap; gap: 2.5em; align-items: flex-start }}
table {{ border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }}
th, td {{ text-align: right; padding: .15em .6em }}
th {{ font-weight: normal; color: #bbb; max-width: 14em; overflow-wrap: anywhere }}
.confusion td {{ min-width: 2.2em; height: 2.2em; text-align: center; border: 1px solid #181818; padding: 0 }}
.confusion .told {{ vertical-align: bottom; padding: .3em 0 }}
.told span {{ writing-mode: vertical-rl; transform: rotate(180deg); max-height: 12em }}
.bar {{ width: 420px }} .bar i {{ display: block; height: .8em; background: #6ab4ff; border-radius: 2px }}
.line {{ position: relative; height: 44px; margin-bottom: 8px; background: #222 }}
.line span {{ position: absolute; height: 21px; font-size: 11px; line-height: 21px; text-indent: 2px;
  overflow: hidden; white-space: nowrap; border-radius: 2px }}
.line .found {{ top: 23px }}
figure {{ margin: 0 0 .8em }} figcaption {{ color: #aaa; white-space: pre-wrap; overflow-wrap: anywhere }}
img {{ max-width: 100% }} .curves img {{ width: 33% }}
</style>
<h1>{title}</h1>
<div class="figures">{figures}</div>
<ul class="cautions">{cautions}</ul>
<h2>What was taken for what</h2>
<p>{count} sequences, each by the mean of its windows. A row is what was performed, a column what the model told.</p>
<div class="side">{confusion}{classes}</div>
<h2>Recorders</h2>
<p>{spread}</p>
<table>{recorders}</table>
<h2>How sure, how soon</h2>
<div class="curves">{curves}</div>
<h2>On a stream</h2>
<p>{stream}</p>
{timeline}
<small>Above what is performed, below what was told; a row is {line_s:.0f} seconds{cut}.</small>
<h2>The worst sequences</h2>
{worst}
</html>
"""
