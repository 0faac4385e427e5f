"""What each label must say: one answer per field and part, from the sources that the config names."""

import threading
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import structlog

from inspectd.control.protocol import ExpectRequest
from inspectd.control.requester import Requester
from inspectd.logs import Throttle
from inspectd.part import Part
from inspectd.text import gs1
from inspectd.text.clock import DateClock
from inspectd.text.config import CodeField, Composed, Constant, Counter, DateRule, Given, OfCode, TextConfig, TextField
from inspectd.text.counter import Count
from inspectd.text.orders import checked_orders
from inspectd.text.pattern import Pattern
from inspectd.text.plan import Plan
from inspectd.text.sources import Known, composed, narrowed, of_code, of_count, of_date, of_plan, written

log = structlog.get_logger()

_LOG_EVERY_S = 1.0
"""A printer may give a value for each label."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Expected:
    """What one field of one label must say."""

    allowed: tuple[str, ...] | Pattern
    """Any of these texts is right: two during a grace, and the first is the one that counts from now on. A code's content is as
    zxing-cpp gives it with `TextMode.Plain`: FNC1 is \\x1d. Empty: nothing is known, so nothing passes. `Pattern`: any text that
    matches is right."""
    source: str
    """Where it comes from, for the records; or, if nothing is known, why."""
    is_gs1: bool = False
    """Whether it is the content of a code with GS1 elements, which must begin with FNC1."""

    def allows(self, content: str) -> bool:
        """Whether the content of a code is right. A separator more or less between GS1 elements changes nothing."""
        if isinstance(self.allowed, Pattern):
            return self.allowed.matches(content)
        return gs1.normal(content) in self.allowed


class Expectations:
    """What is expected now. The inspection worker asks per part; other threads may give something new at any time.

    Nothing is kept over a restart. A field whose value must be given passes nothing until it is given again.
    """

    def __init__(self, config: TextConfig) -> None:
        self.next_part_id: Callable[[], int] = lambda: 1
        """The number that the next label to be triggered will have. The line sets it."""
        self._config = config
        self._clock = DateClock(config.clock)
        self._plans = {
            name: Plan() for name, field in config.fields.items() if isinstance(field.expect, Given | Counter)
        }
        self._counts = {
            name: Count(field.form, field.expect.may_differ_by)
            for name, field in config.fields.items()
            if isinstance(field.expect, Counter) and field.form is not None
        }
        self._lock = threading.Lock()
        self._may_log = Throttle(_LOG_EVERY_S)

    def of(self, part: Part, codes: Mapping[str, str]) -> dict[str, Expected]:
        """Per field, what this label must say. `codes`: the content of each code that was read on it. Ask in the order of the
        parts. A code without an expectation of its own may say anything that text fields agree with, and is not in the result."""
        with self._lock:
            self._clock.look()
            for plan in self._plans.values():
                plan.reach(part)
            return self._of(part, codes, self._plans, self._counts)

    def passed(self, part: Part, texts: Mapping[str, str]) -> None:
        """The label passed with these texts, one per field. Only these labels advance the counters."""
        with self._lock:
            for name, count in self._counts.items():
                said = texts.get(name, "")
                if isinstance(self._config.fields[name], CodeField):
                    # the content of a GS1 code is written in another way
                    said = next((text for text in count.texts(part) if gs1.content(text) == gs1.normal(said)), "")
                count.passed(part, said)

    def give(self, request: ExpectRequest, by: Requester) -> dict[str, Any]:
        """Do what `inspectd control expect` asks for, and return what the answer says. Never waits for a label.

        Raises ValueError with a sentence if the request is refused. Nothing has changed then.
        """
        with self._lock:
            self._clock.look()
            part = self._next()
            orders = checked_orders(request, by, self._config, self._plans, part, self._clock)
            for name, order in orders.items():
                self._plans[name].add(order)
        begin = next(iter(orders.values())).begin
        if self._may_log.is_open(time.monotonic()):
            log.info("expectation given", fields=request.fields, begin=begin, **by.words())
        return {"from": begin, "next_part": part.id}

    def confirm_clock(self, by: Requester) -> dict[str, Any]:
        """Somebody says that the wall clock is right, until it is set again. Returns what the answer says."""
        with self._lock:
            self._clock.look()
            before = self._clock.fault(self._next())
            self._clock.confirm()
            after = self._clock.fault(self._next())
        log.info("clock confirmed", fault=before, **by.words())
        return {"fault": before, "still": after}

    def look(self) -> None:
        """Call many times a second, also while no label comes: it notices when a job begins, and when the clock is set."""
        with self._lock:
            self._clock.look()
            for plan in self._plans.values():
                plan.notice(self.next_part_id(), time.monotonic_ns())

    def figures(self) -> dict[str, Any]:
        """What the next label must say, and what was given for later ones; for `inspectd control status`."""
        with self._lock:
            part = self._next()
            # copies, because parts before the next one still need the originals
            plans = {name: copy(plan) for name, plan in self._plans.items()}
            counts = {name: copy(count) for name, count in self._counts.items()}
        for plan in plans.values():
            plan.reach(part)
        expected = self._of(part, {}, plans, counts)
        return {
            "next_part": part.id,
            "fields": {
                name: {
                    "allowed": each.allowed.source if isinstance(each.allowed, Pattern) else [*each.allowed],
                    "source": each.source,
                    "later": [{"value": order.value, "from": order.begin} for order in plans[name].waiting[:_SHOWN]]
                    if name in plans
                    else [],
                }
                for name, each in expected.items()
            },
        }

    def _next(self) -> Part:
        now_ns = time.monotonic_ns()
        return Part(self.next_part_id(), 0, now_ns, time.time_ns(), now_ns)

    def _of(
        self, part: Part, codes: Mapping[str, str], plans: Mapping[str, Plan], counts: Mapping[str, Count]
    ) -> dict[str, Expected]:
        fields = self._config.fields
        known: dict[str, Known] = {}
        for name in self._config.order:
            match fields[name].expect:
                case Constant(value=value):
                    known[name] = Known((value,), "constant")
                case DateRule() as rule:
                    known[name] = of_date(rule, self._config, self._clock, part)
                case Given() as given:
                    known[name] = of_plan(given, plans[name], part)
                case Counter():
                    known[name] = of_count(counts[name], plans[name], part)
                case OfCode() as other:
                    known[name] = of_code(other, codes)
                case Composed() as template:
                    known[name] = composed(template, known)
        for name in reversed(self._config.order):  # a template may be in another one
            if isinstance(expect := fields[name].expect, Composed):
                known |= narrowed(expect, (gs1.normal(codes[name]),) if name in codes else known[name].values, known)
        for name in self._config.order:
            if isinstance(expect := fields[name].expect, Composed):
                known[name] = composed(expect, known)
        return {name: _expected(field, known.get(name)) for name, field in fields.items() if field.expect is not None}


def _expected(field: TextField | CodeField, known: Known | None) -> Expected:
    if known is None:  # any text of the pattern is right
        assert field.form is not None
        return Expected(field.form, f"pattern {field.pattern}")
    texts = [written(value, field.expect) for value in known.values]
    is_gs1 = False
    if isinstance(field, CodeField):
        if isinstance(field.expect, Composed):
            is_gs1 = field.expect.template.is_gs1
        else:
            is_gs1 = any(gs1.split(text) for text in texts)
            texts = [gs1.content(text) for text in texts]
    return Expected(tuple(dict.fromkeys(texts)), known.source, is_gs1)
