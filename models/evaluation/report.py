"""Write the result of an evaluation as one HTML page that needs no network: tables, curves, stick figures."""

import base64
import html
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2

from common.errors import UserError
from common.files import atomic_write
from common.recording.sequence import KeypointSequence
from data.curation import contact_sheet
from models.evaluation import curves
from models.evaluation.evaluator import Case, Evaluation
from models.evaluation.event_metrics import EventScores
from models.evaluation.metrics import Scores
from models.simulation.spans import Span

PAGE_NAME: Final = "report.html"
MAX_CASES: Final = 24  # errors that are drawn
LINE_S: Final = 60.0  # of the stream, in a row of the timeline
MAX_LINES: Final = 10
CORRECT, WRONG = "106 180 255", "255 159 67"


def write(folder: Path, title: str, result: Evaluation, named: Mapping[str, KeypointSequence]) -> Path:
    """Write or replace the page in the folder, and return its path; raises UserError where it cannot be written."""
    path = folder / PAGE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(path, page(title, result, named).encode(errors="replace"))  # a folder's name need not be text
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def page(title: str, result: Evaluation, named: Mapping[str, KeypointSequence]) -> str:
    """Return the page's HTML; every text from outside is escaped."""
    scores, lines = result.sequences, math.ceil(60 * result.stream.minutes / LINE_S)
    spans = [one.span for one in result.detections]
    return PAGE.format(
        title=html.escape(title),
        metrics=_metrics(result),
        warnings="".join(f"<li>{html.escape(warning)}</li>" for warning in result.warnings),
        count=scores.count,
        confusion=_confusion(scores),
        classes=_classes(scores),
        spread=subject_line(scores),
        subjects=_subjects(scores),
        curves="".join(_image("svg+xml", curve) for curve in curves.draw(result)),
        stream="<br>".join(stream_lines(result.stream)),
        timeline="".join(_timeline(result.ground_truth, spans, list(scores.classes), min(lines, MAX_LINES))),
        line_s=LINE_S,
        cropped=f", the first {MAX_LINES} of {lines}" if lines > MAX_LINES else "",
        errors="".join(_errors(result.cases, named)) or "<p>None.</p>",
    )


def stream_lines(stream: EventScores) -> Iterator[str]:
    """Yield a line for each group of metrics of a stream."""
    f1s = ", ".join(f"F1@{threshold} IoU {score:.3f}" for threshold, score in stream.f1.items())
    false_positives = stream.false_positives_per_minute
    yield f"stream of {stream.minutes:.1f} minutes: {stream.detected} of {stream.actions} actions detected"
    yield f"segmental {f1s}, edit score {stream.edit_score:.3f}"
    yield f"{false_positives:.2f} false positives per minute, {60 * false_positives:.1f} per hour"
    for since, latency in (("start", stream.start_latency), ("end", stream.end_latency)):
        if latency:
            yield f"{since} latency {latency.p50:.2f} s (median), {latency.p95:.2f} s (95th percentile)"


def _metrics(result: Evaluation) -> str:
    scores, stream = result.sequences, result.stream
    metrics = {
        "accuracy": f"{scores.accuracy:.3f}",
        "loss": f"{scores.loss:.3f}",
        **{f"top-{k} accuracy": f"{value:.3f}" for k, value in scores.top_k_accuracy.items()},
        "macro F1": f"{scores.macro_f1:.3f}",
        "calibration error": f"{scores.calibration_error:.3f}",
        "segmental F1@0.5 IoU": f"{stream.f1['0.5']:.3f}",
        "false positives per minute": f"{stream.false_positives_per_minute:.2f}",
    }
    return "".join(f"<div><b>{value}</b>{name}</div>" for name, value in metrics.items())


def _confusion(scores: Scores) -> str:
    """Return a table with a row for each true and a column for each predicted label, shaded by ratio of the row."""
    labels = [html.escape(label) for label in scores.classes]
    head = "".join(f"<th class=predicted><span>{label}</span></th>" for label in labels)
    rows = []
    for number, (label, counts) in enumerate(zip(labels, scores.confusion, strict=True)):
        total = max(sum(counts), 1)
        cells = "".join(
            f'<td style="background:{_tint(CORRECT if place == number else WRONG, count / total)}">{count or ""}</td>'
            for place, count in enumerate(counts)
        )
        rows.append(f"<tr><th>{label}</th>{cells}</tr>")
    return f'<table class="confusion"><tr><th></th>{head}</tr>{"".join(rows)}</table>'


def _tint(colour: str, ratio: float) -> str:
    """Return a colour whose opacity grows with the root of the ratio, so that few errors show beside many hits."""
    return f"rgb({colour} / {75 * ratio**0.5:.0f}%)" if ratio else "#222"


def _classes(scores: Scores) -> str:
    head = "".join(f"<th>{column}</th>" for column in ("", "precision", "recall", "F1", "TP", "FP", "TN", "FN"))
    rows = []
    for label, one in scores.classes.items():
        ratios = ["–" if ratio is None else f"{ratio:.3f}" for ratio in (one.precision, one.recall, one.f1)]
        cells = "".join(f"<td>{value}</td>" for value in (*ratios, one.tp, one.fp, one.tn, one.fn))
        rows.append(f"<tr><th>{html.escape(label)}</th>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def subject_line(scores: Scores) -> str:
    """Return a line about accuracy by subject."""
    spread, subjects = scores.spread, len(scores.accuracy_by_subject)
    if subjects == 1:
        return f"one subject: accuracy {spread.median:.3f}"
    return f"{subjects} subjects: accuracy {spread.min:.3f} to {spread.max:.3f}, median {spread.median:.3f}"


def _subjects(scores: Scores) -> str:
    return "".join(
        f"<tr><th>{html.escape(subject)}</th>"
        f'<td class="bar"><i style="width:{accuracy:.1%}"></i></td><td>{accuracy:.3f}</td></tr>'
        for subject, accuracy in scores.accuracy_by_subject.items()
    )


def _timeline(
    ground_truth: Sequence[Span], detected: Sequence[Span], labels: Sequence[str], lines: int
) -> Iterator[str]:
    """Yield a row for each of the stream's first minutes: the ground truth above, detections below."""
    for from_s in (number * LINE_S for number in range(lines)):
        blocks = "".join(
            _block(span, from_s, lane, labels.index(span.label) / len(labels))
            for lane, spans in (("true", ground_truth), ("detected", detected))
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


def _errors(cases: Sequence[Case], named: Mapping[str, KeypointSequence]) -> Iterator[str]:
    for case in [case for case in cases if case.predicted != case.label][:MAX_CASES]:
        labels = f"{case.predicted} ({case.confidence:.2f}) instead of {case.label} ({case.probability:.2f})"
        caption = f"{case.name} by {case.subject}: {labels}"
        drawn = cv2.imencode(".png", contact_sheet.stick_figures(named[case.name]))[1].tobytes()
        yield f"<figure><figcaption>{html.escape(caption)}</figcaption>{_image('png', drawn)}</figure>"


def _image(kind: str, content: bytes) -> str:
    return f'<img alt="" src="data:image/{kind};base64,{base64.b64encode(content).decode()}">'


PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ background: #181818; color: #ddd; font: 15px sans-serif; margin: 1em auto; max-width: 1130px; padding: 0 1em }}
h2 {{ margin: 1.6em 0 .4em; font-size: 1.15em }} p, small {{ color: #aaa }} .warnings li {{ color: #ff9f43 }}
.metrics {{ display: flex; flex-wrap: wrap; gap: .6em }}
.metrics div {{ background: #262626; border-radius: 6px; padding: .6em 1em; color: #aaa; font-size: 13px }}
.metrics b {{ display: block; font-size: 1.7em; color: #fff }}
.side {{ display: flex; flex-wrap: wrap; gap: 2.5em; align-items: flex-start }}
table {{ border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }}
th, td {{ text-align: right; padding: .15em .6em }}
th {{ font-weight: normal; color: #bbb; max-width: 14em; overflow-wrap: anywhere }}
.confusion td {{ min-width: 2.2em; height: 2.2em; text-align: center; border: 1px solid #181818; padding: 0 }}
.confusion .predicted {{ vertical-align: bottom; padding: .3em 0 }}
.predicted span {{ writing-mode: vertical-rl; transform: rotate(180deg); max-height: 12em }}
.bar {{ width: 420px }} .bar i {{ display: block; height: .8em; background: #6ab4ff; border-radius: 2px }}
.line {{ position: relative; height: 44px; margin-bottom: 8px; background: #222 }}
.line span {{ position: absolute; height: 21px; font-size: 11px; line-height: 21px; text-indent: 2px;
  overflow: hidden; white-space: nowrap; border-radius: 2px }}
.line .detected {{ top: 23px }}
figure {{ margin: 0 0 .8em }} figcaption {{ color: #aaa; white-space: pre-wrap; overflow-wrap: anywhere }}
img {{ max-width: 100% }} .curves img {{ width: 33% }}
</style>
<h1>{title}</h1>
<div class="metrics">{metrics}</div>
<ul class="warnings">{warnings}</ul>
<h2>Confusion matrix</h2>
<p>{count} sequences, each by the mean of its windows. Rows are true labels, columns predicted ones.</p>
<div class="side">{confusion}{classes}</div>
<h2>Accuracy by subject</h2>
<p>{spread}</p>
<table>{subjects}</table>
<h2>Calibration and latency</h2>
<div class="curves">{curves}</div>
<h2>Continuous stream</h2>
<p>{stream}</p>
{timeline}
<small>Ground truth above, detections below; a row is {line_s:.0f} seconds{cropped}.</small>
<h2>Largest errors</h2>
{errors}
</html>
"""
