"""The pieces of HTML that change while a page is open. Each is made once for all pages.

A piece is named by the id of the element that holds it. `templates/pieces.html` writes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from markupsafe import Markup

from inspectd.serve.line_facts import LineFacts
from inspectd.serve.line_now import LineNow
from inspectd.serve.web.charts import bar, p_chart, sparkline
from inspectd.serve.web.live.figures import REJECTS, Figures
from inspectd.serve.web.live.tally import Tally
from inspectd.serve.web.site import TEMPLATES
from inspectd.serve.web.wording import (
    CAUSES,
    GATE_STATES,
    OUTAGES,
    STOP_NAMES,
    cause_words,
    clock,
    moment,
    number,
    percent,
    said,
    span,
    stop_words,
)

_CAUSES_SHOWN = 6
_NEW_NS = 10 * 10**9
TEMPLATES.env.globals.update(bar=bar, p_chart=p_chart, sparkline=sparkline)
TEMPLATES.env.filters.update(
    number=number,
    percent=percent,
    time_of_day=clock,
    moment=moment,
    duration=span,
    cause=lambda word: CAUSES.get(word, word),
    stop_name=lambda word: STOP_NAMES.get(word, word),
    outage_name=lambda word: OUTAGES.get(word, word),
)
_pieces: Any = TEMPLATES.env.get_template("pieces.html").module


@dataclass(frozen=True, slots=True)
class LineState:
    """Whether the belt may run, and if not, why, and what to do."""

    kind: Literal["runs", "stopped", "unknown"]
    words: str
    sentence: str = ""
    since: str = ""
    can_acknowledge: bool = False
    """A person must look and acknowledge before the belt runs again."""
    stops: tuple[str, ...] = ()
    """The latched stops that the sentence is about."""
    is_new: bool = False
    """It began a few seconds ago."""

    @property
    def stop(self) -> str:
        """Distinguishes this stop from the next one."""
        return f"{' '.join(self.stops) or self.sentence} {self.since}"

    def was_shown_as(self, stop: str) -> bool:
        """Whether a page with this `stop` has shown this one. The line may say it a second before its time is in the journal: a page
        that still shows it without a time later has shown an earlier stop.
        """
        return stop == self.stop or (self.is_new and stop == replace(self, since="").stop)


def line_state(figures: Figures, now: LineNow, line: LineFacts) -> LineState:
    """From the journal, and from the line's own answer where it is newer."""
    session = figures.session
    if session is None:
        return LineState("unknown", "Line has not run yet")
    if not session.is_alive:
        how = (
            "It was ended in order."
            if session.ended_cleanly
            else "It ended without finishing its labels: look for them."
        )
        return LineState("stopped", "Line does not run", f"{how} No label is inspected.", clock(session.t_seen_utc_ns))
    gate = line.config.get("gate") or {}
    status = now.status if now.is_fresh else None
    outage = "" if session.outage is None else _outage_words(*session.outage)
    reasons, since_ns = session.stop or (tuple(status.get("stops", ())) if status is not None else (), None)
    if reasons:
        sentence = " ".join([*(stop_words(reason, gate) for reason in reasons), outage]).strip()
        since = "" if since_ns is None else clock(since_ns)
        is_new = since_ns is not None and figures.t_utc_ns - since_ns < _NEW_NS
        return LineState("stopped", "Belt stopped", sentence, since, can_acknowledge=True, stops=reasons, is_new=is_new)
    if status is not None and not status["run_permit"]:
        state = status["gate"]
        sentence = GATE_STATES.get(state, f"The gate says: {state}.")
        awaits_trigger = state == "line_not_ok" and (line.config.get("camera") or {}).get("expect_every_s") is not None
        return LineState("stopped", "Belt stopped", sentence, can_acknowledge=awaits_trigger)
    if session.outage is not None:
        return LineState("stopped", "Belt stopped", outage, clock(session.outage[1]))
    if line.control is not None and status is None:
        return LineState("unknown", "Line has not answered", "So it is not known whether the belt may run.")
    return LineState("runs", "Line runs")


def _outage_words(kind: str, _: int, detail: str) -> str:
    what = "The camera gives no images" if kind == "camera" else "The reject output can't be driven"
    return f"{what}: {detail}."


class Rejects:
    """The last rejected parts."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = {row["id"]: row for row in rows}

    def take(self, row: Mapping[str, Any]) -> bool:
        """Whether this part is one of the last rejected ones."""
        if row["verdict"] == "pass":
            return False
        self._rows[row["id"]] = row
        if len(self._rows) > REJECTS:
            del self._rows[min(self._rows)]
        return row["id"] in self._rows

    @property
    def parts(self) -> list[int]:
        """Their numbers, the newest first."""
        return sorted(self._rows, reverse=True)

    @property
    def last(self) -> Mapping[str, Any] | None:
        return self._rows[max(self._rows)] if self._rows else None

    def shown(self, part: int, now: LineNow) -> Markup:
        """The line of the list for one of them."""
        return Markup(_pieces.reject(said(self._rows[part], now.pass_class)))


def part_shown(row: Mapping[str, Any] | None, now: LineNow, line: LineFacts) -> dict[str, str]:
    """The part that is shown large: the last reject, or else the last one with an image."""
    part = None if row is None else said(row, now.pass_class)
    engine = now.engine if part is not None and now.engine is not None and part.engine == now.engine.name else None
    threshold = None if engine is None else engine.threshold
    return {
        "picture": _pieces.picture(part, line.archive is not None),
        "verdict": _pieces.verdict(part, threshold),
    }


def figures_shown(figures: Figures, state: LineState, now: LineNow, line: LineFacts) -> dict[str, str]:
    """All that is counted, and the first row of the top."""
    gate = line.config.get("gate") or {}
    lateness = gate.get("max_lateness_ms") or (gate["width_ms"] / 2 if "width_ms" in gate else None)
    return {
        "top-line": _pieces.top_line(line.name, figures, state, now),
        "figures": _pieces.figures(figures, now, gate.get("delay_ms"), lateness),
        "causes": _pieces.causes(causes(figures.shift, _CAUSES_SHOWN), figures),
        "first-steps": _pieces.first_steps(line, figures.session) if figures.newest_part is None else "",
    }


def causes(tally: Tally, most: int) -> list[tuple[str, str, int]]:
    """At most `most` of (verdict, words, parts), the most frequent first; small ones are put together as the last."""
    ranked = [(verdict, cause_words(verdict, cause), parts) for (verdict, cause), parts in tally.rejects.most_common()]
    if len(ranked) <= most:
        return ranked
    rest = ranked[most - 1 :]
    return [*ranked[: most - 1], ("other", f"{len(rest)} other faults", sum(parts for _, _, parts in rest))]


def trouble_shown(problem: str) -> dict[str, str]:
    """While the journal can't be read, and nothing is known of it yet."""
    return {"first-steps": _pieces.trouble(problem)}
