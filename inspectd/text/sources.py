"""The sources of an expectation: each says which values of its field are right for one part, and why."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import product
from typing import NamedTuple

from inspectd.part import Part
from inspectd.text import gs1
from inspectd.text.clock import DateClock
from inspectd.text.config import Composed, DateRule, Given, OfCode, TextConfig
from inspectd.text.counter import Count
from inspectd.text.dates import day_at, formatted, shifted
from inspectd.text.plan import Plan
from inspectd.text.template import Value


class Known(NamedTuple):
    """What is known about one field of one part."""

    values: tuple[Value, ...]
    source: str
    """For the records. If there are no values: why."""


def of_date(rule: DateRule, config: TextConfig, clock: DateClock, part: Part) -> Known:
    """The dates before shift and format are those of the trigger, not of now: a label may be judged after the change of day."""
    if (fault := clock.fault(part)) is not None:
        return Known((), fault)
    utc_s = part.t_trigger_utc_ns / 1e9
    days = [day_at(utc_s + early_s, config.zone, rule.begins) for early_s in (0, -rule.grace_s, rule.grace_s)]
    days = [*dict.fromkeys(days)]
    values = tuple(shifted(day, rule.shift_by, end_of_month=rule.end_of_month) for day in days)
    grace = " (grace at the change of day)" if len(days) > 1 else ""
    return Known(values, f"date rule on {' or '.join(map(str, days))}{grace}")


def of_plan(expect: Given, plan: Plan, part: Part) -> Known:
    now, before = plan.now, plan.before
    if now is None:
        return Known((), "nothing was given since the line started")
    if now.value is None:
        return Known((), f"withdrawn by {now.by} from {now.begin}")
    if before is None or before.value is None or part.t_trigger_ns - plan.began_ns >= expect.grace_s * 1e9:
        return Known((now.value,), now.source)
    return Known((now.value, before.value), f"{now.source}; in its grace also {before.value!r}, {before.source}")


def of_count(count: Count, plan: Plan, part: Part) -> Known:
    order = plan.now
    if order is None:
        return Known((), "no number was given since the line started")
    if order.value is None:
        return Known((), f"withdrawn by {order.by} from {order.begin}")
    count.begin(order)
    texts = count.texts(part)
    return Known(texts, f"counter from {order.value}, {order.source}" if texts else "the counter has no number left")


def of_code(expect: OfCode, codes: Mapping[str, str]) -> Known:
    content = codes.get(expect.field)
    if content is None:
        return Known((), f"the code '{expect.field}' was not read")
    if expect.ai is None:
        return Known((content,), f"the code '{expect.field}'")
    try:
        value = gs1.elements(content)[expect.ai]
    except ValueError as error:
        return Known((), f"the code '{expect.field}' {error}")
    except KeyError:
        return Known((), f"the code '{expect.field}' has no element ({expect.ai})")
    return Known((value,), f"element ({expect.ai}) of the code '{expect.field}'")


def composed(expect: Composed, known: Mapping[str, Known]) -> Known:
    needed = list(expect.template.fields)
    for name in needed:
        if not known[name].values:
            return Known((), f"'{name}' is not known: {known[name].source}")
    texts = [expect.template.filled(values) for values in _combinations(needed, known)]
    return Known(
        tuple(dict.fromkeys(texts)), "; ".join(f"{name}: {known[name].source}" for name in needed) or "template"
    )


def narrowed(expect: Composed, contents: Sequence[Value], known: Mapping[str, Known]) -> dict[str, Known]:
    """What is known about the fields in this template, if it says one of `contents`: during a grace, text and code must say the
    same. Nothing, if none of them is right."""
    needed = list(expect.template.fields)
    possible = _combinations(needed, known)
    if len(possible) == 1:
        return {}
    right = [values for values in possible if expect.template.filled(values) in contents]
    if not right:
        return {}
    return {
        name: Known(
            tuple(value for value in known[name].values if any(values[name] == value for values in right)),
            known[name].source,
        )
        for name in needed
    }


def _combinations(names: list[str], known: Mapping[str, Known]) -> list[dict[str, Value]]:
    return [dict(zip(names, values, strict=True)) for values in product(*(known[name].values for name in names))]


def written(value: Value, expect: object) -> str:
    """How the label shows the value."""
    match expect:
        case DateRule(format=form) if isinstance(value, date):
            return formatted(value, form)
        case Given(printed=printed) | OfCode(printed=printed):
            return printed.replace("{}", str(value))
        case _:
            return str(value)
