"""The metrics, as Prometheus gets them (https://prometheus.io/docs/practices/naming).

What can't be known now is left out, because an old value would look like a new one. Values of labels come from fixed lists of the
line's own words, from its fault classes, or from its engine: never from a part's number or its text.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from typing import Any, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from inspectd.control.stops import STOPS
from inspectd.errors import ConfigError
from inspectd.fleet.assignments import KINDS
from inspectd.fleet.last_pull import GOOD, Outcome, read_last_pull
from inspectd.part import Fault, Missed, MissedReason, Pass, Uncertain
from inspectd.serve.following import is_alive
from inspectd.serve.line_now import LineNow
from inspectd.serve.metrics.counts import Counts, Histogram
from inspectd.serve.metrics.watching import Seen, Watch

_OUTAGES = ("camera", "output", "record_error", "not_driven", "unseen")
_GATE = ("passed", "rejected", "rejected_late", "rejected_stopped", "rejected_with_other", "not_driven")
_CAUSES: dict[str, tuple[str, ...]] = {
    Pass.word: ("",),
    Uncertain.word: ("",),
    Missed.word: tuple(reason.value for reason in MissedReason),
    Fault.word: (),
}
"""Those that are known before they occur: a counter that begins at 1 hides its first event from `increase()`."""


class LineCollector(Collector):
    """Everything about the line. One collection takes a few milliseconds and reads no part of the journal."""

    def __init__(self, watch: Watch, pull: Path | None) -> None:
        """`pull`: the folder in which `inspectd engines pull` keeps its last result."""
        self._watch = watch
        self._pull = pull

    def collect(self) -> Iterator[Metric]:
        watch = self._watch
        now = watch.now
        info = {"name": watch.line.name, "version": metadata.version("inspectd")}
        yield _gauge("inspectd_info", "The name of the line, and the version of this program.", info)
        with watch.seen() as seen:
            yield from _journal(seen)
            if seen is not None and seen.counts is not None:
                yield from _counts(seen.counts, [] if now is None or now.engine is None else now.engine.faults)
        if watch.line.control is not None:
            answers = now is not None and now.status is not None
            yield _gauge("inspectd_line_answers", "1 if the line answers at its control socket.", answers)
        if now is not None:
            yield from _now(now)
        yield from _files(watch.line.journal)
        if self._pull is not None:
            yield from _pulled(self._pull)


def _gauge(name: str, about: str, value: float | dict[str, str]) -> Metric:
    """With a dictionary instead of a value: an info metric, which is 1 and has its values as labels."""
    labels, number = (value, 1.0) if isinstance(value, dict) else ({}, value)
    family = GaugeMetricFamily(name, about, labels=list(labels))
    family.add_metric(list(labels.values()), number)
    return family


def _counter(name: str, about: str, values: Mapping[str, int] | int, label: str = "") -> Metric:
    family = CounterMetricFamily(name, about, labels=[label] if label else [])
    for word, value in values.items() if isinstance(values, Mapping) else (("", values),):
        family.add_metric([word] if label else [], value)
    return family


def _journal(seen: Seen | None) -> Iterator[Metric]:
    yield _gauge(
        "inspectd_line_up",
        "1 if the line runs: it has given a sign of life in the last 5 s. 0 also if the journal can't be read.",
        seen is not None and seen.session is not None and is_alive(seen.session),
    )
    yield _gauge("inspectd_journal_readable", "1 if the journal of the line can be read.", seen is not None)
    if seen is not None:
        yield _gauge(
            "inspectd_counts_complete", "1 if all parts in the journal are counted; 0 while they are being counted.",
            seen.counts is not None,
        )  # fmt: skip
        if seen.session is not None:
            yield _gauge(
                "inspectd_line_alive_timestamp_seconds", "When the line gave its last sign of life.",
                seen.session["alive_utc_ns"] / 1e9,
            )  # fmt: skip
            yield _gauge(
                "inspectd_line_start_timestamp_seconds",
                "When the line was started.",
                seen.session["started_utc_ns"] / 1e9,
            )


def _counts(counts: Counts, classes: Iterable[str]) -> Iterator[Metric]:
    parts = CounterMetricFamily(
        "inspectd_parts",
        "Parts on which the gate has acted, by verdict. The cause is the class of a fault, or why a text is wrong, what the guard "
        "found, or why there was no inspection.",
        labels=["verdict", "cause"],
    )
    for verdict, known in _CAUSES.items():
        causes = dict.fromkeys((*known, *(classes if verdict == Fault.word else ())), 0) | counts.parts.get(verdict, {})
        for cause, value in causes.items():
            parts.add_metric([verdict, cause], value)
    yield parts
    yield _counter(
        "inspectd_gate_outcomes", "Parts by what the gate did with them.", _with(_GATE, counts.gate), "outcome"
    )
    yield _histogram(
        "inspectd_verdict_seconds",
        "Time from the trigger to the verdict. It must be below gate.delay_ms.",
        counts.verdict_s,
    )
    yield _histogram(
        "inspectd_gate_lateness_seconds", "Time from when the gate had to act to when it acted.", counts.lateness_s
    )
    for name, about, of_images in (
        ("brightness", "Mean grey level of the images, as a share of white.", counts.brightness),
        ("sharpness", "Sharpness of the images: blur makes it smaller.", counts.sharpness),
    ):
        yield SummaryMetricFamily(f"inspectd_image_{name}", about, of_images.count, of_images.sum)
    yield _counter(
        "inspectd_stops",
        "Stops of the belt that somebody had to acknowledge.",
        _with(STOPS, counts.stops),
        "reason",
    )
    yield _counter(
        "inspectd_outages", "Intervals without full inspection, by kind.", _with(_OUTAGES, counts.outages), "kind"
    )
    for name, about, value in (
        ("parts_unrecorded", "Rejected parts that have no record of their own.", counts.unrecorded),
        ("line_starts", "How often the line was started.", counts.starts),
        (
            "books_unbalanced",
            "Runs of the line that counted another number of parts than the journal.",
            counts.unbalanced,
        ),
        ("images_lost", "Images that the archive has dropped or could not store.", counts.images_lost),
        ("notes_lost", "Details of parts that could not be recorded.", counts.notes_lost),
        (
            "changes_skipped",
            "Changes that were deleted from the journal before they were counted, at most.",
            counts.skipped,
        ),
    ):
        yield _counter(f"inspectd_{name}", about, value)
    if counts.newest_utc_ns is not None:
        yield _gauge(
            "inspectd_part_timestamp_seconds", "When the newest part was triggered.", counts.newest_utc_ns / 1e9
        )


def _with(known: Iterable[str], counted: Mapping[str, int]) -> dict[str, int]:
    return dict.fromkeys(known, 0) | dict(counted)


def _histogram(name: str, about: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(name, about)
    limits = [*map(repr, histogram.limits), "+Inf"]
    family.add_metric([], list(zip(limits, map(float, accumulate(histogram.counts)), strict=True)), histogram.sum)
    return family


def _now(now: LineNow) -> Iterator[Metric]:
    free = GaugeMetricFamily(
        "inspectd_disk_free_bytes", "Free space on the disk of the journal or archive.", labels=["disk"]
    )
    share = GaugeMetricFamily(
        "inspectd_disk_free_ratio", "Free share of the disk of the journal or archive.", labels=["disk"]
    )
    for disk in now.disks:
        free.add_metric([disk.name], disk.free_gb * 1e9)
        share.add_metric([disk.name], disk.free_share)
    yield from (free, share)
    if now.status is not None:
        yield from _status(now.status, now)


def _status(status: Mapping[str, Any], now: LineNow) -> Iterator[Metric]:
    """What the line has answered. Its version may be another than that of this program, so each key may be missing."""
    for key, name, about in (
        ("run_permit", "run_permit", "1 if the belt may run."),
        ("camera_delivers", "camera_delivers", "1 if the camera delivers images."),
        ("stalled", "line_stalled", "1 if a stage of the line makes no progress."),
        ("reloading", "line_reloading", "1 while the line loads its config and engine again."),
    ):
        if key in status:
            yield _gauge(f"inspectd_{name}", about, bool(status[key]))
    if "stops" in status:
        stops = GaugeMetricFamily(
            "inspectd_stop_active",
            "1 if the belt is stopped for this reason, until somebody acknowledges it.",
            labels=["reason"],
        )
        for reason in dict.fromkeys((*STOPS, *status["stops"])):
            stops.add_metric([reason], float(reason in status["stops"]))
        yield stops
    if "engine" in status:
        engine = {"engine": str(status["engine"]), "version": str(status.get("engine_version", ""))}
        engine["hash"] = str(status.get("engine_hash", ""))
        yield _gauge("inspectd_engine_info", "The engine that judges the parts now.", engine)
    if text := status.get("text"):
        fields = text.get("fields", {})
        yield _gauge("inspectd_text_fields", "Text fields that the line verifies.", len(fields))
        yield _gauge(
            "inspectd_text_fields_without_expectation",
            "Text fields for which the line does not know the right text. No part can pass then.",
            sum(not field.get("allowed") for field in fields.values()),
        )


def _pulled(state: Path) -> Iterator[Metric]:
    try:
        last = read_last_pull(state)
    except ConfigError:
        last = None
    if last is None:
        return
    outcomes = GaugeMetricFamily(
        "inspectd_pull_outcome", "1 for how the last `inspectd engines pull` ended.", labels=["outcome"]
    )
    for outcome in get_args(Outcome):
        outcomes.add_metric([outcome], float(outcome == last.outcome))
    yield outcomes
    yield _gauge("inspectd_pull_good", "1 if the last pull ended well.", last.outcome in GOOD)
    for name, about, time in (
        ("end", "When the last pull ended.", last.ended_utc),
        ("last_good", "When a pull last ended well.", last.good_utc),
        ("last_reached", "When a pull last reached the repository.", last.reached_utc),
        ("expiry", "When the repository, as it was last seen, expires.", last.expires_utc),
    ):
        if time is not None:
            yield _gauge(f"inspectd_pull_{name}_timestamp_seconds", about, time.timestamp())
    if last.assigned is not None:
        assigned = {str(kind): last.assigned.get(kind) or "" for kind in KINDS}
        yield _gauge("inspectd_pull_assigned_info", "What the repository assigns to the line.", assigned)


def _files(journal: Path) -> Iterator[Metric]:
    size = GaugeMetricFamily(
        "inspectd_journal_bytes", "Size of the journal: its database, and the log beside it.", labels=["file"]
    )
    for word, suffix in (("database", ""), ("log", "-wal")):
        try:
            size.add_metric([word], Path(f"{journal}{suffix}").stat().st_size)
        except OSError:
            continue  # its figure is left out
    yield size
