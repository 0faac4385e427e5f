"""A request to expect something: checked as a whole, before any of it counts."""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from inspectd.config_errors import did_you_mean
from inspectd.control.protocol import Begin, ExpectRequest
from inspectd.control.requester import Requester
from inspectd.files.text_file import shown
from inspectd.part import Part
from inspectd.text import gs1
from inspectd.text.clock import DateClock
from inspectd.text.config import CodeField, Counter, TextConfig
from inspectd.text.plan import MOST_WAITING, Order, Plan
from inspectd.text.sources import written


def checked_orders(
    request: ExpectRequest,
    by: Requester,
    config: TextConfig,
    plans: Mapping[str, Plan],
    next_part: Part,
    clock: DateClock,
) -> dict[str, Order]:
    """One order per field. `next_part`: the next label, as if it were triggered now. Raises ValueError."""
    part, t_ns, begin = _begin(request.begin, config, next_part, clock)
    who = by.user if by.pid is None else f"{by.user} (uid {by.uid}, pid {by.pid})"
    for name, value in request.fields.items():
        _check(name, value, config, plans)
        if part is None and isinstance(config.fields[name].expect, Counter):
            raise ValueError(
                f"fields.{name}: a counter begins with the next label or with a part number, not at a time"
            )
    orders = {name: Order(value, who, part, t_ns, begin) for name, value in request.fields.items()}
    for name, order in orders.items():
        if plans[name].is_replaced(order) and (now := plans[name].now) is not None:
            raise ValueError(f"fields.{name}: too late for {begin}: {shown(now.value)} from {now.begin} counts already")
    return orders


def _begin(
    begin: str | Begin, config: TextConfig, next_part: Part, clock: DateClock
) -> tuple[int | None, int | None, str]:
    """Part number or monotonic ns, and the same in words. A time is turned into monotonic time at once, so that a step of the
    clock does not move it."""
    if not isinstance(begin, Begin):
        return next_part.id, None, f"part {next_part.id}"
    if begin.part is not None:
        return begin.part, None, f"part {begin.part}"
    moment = _moment(begin.time or "", config.zone if config.time_zone else None)
    if (fault := clock.fault(next_part)) is not None:
        raise ValueError(f"from.time: can't be used: {fault}")
    wait_ns = round(moment.timestamp() * 1e9) - next_part.t_trigger_utc_ns
    return None, next_part.t_trigger_ns + wait_ns, moment.isoformat(timespec="seconds")


def _moment(text: str, zone: ZoneInfo | None) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"from.time: {shown(text)} is not allowed: write it like 2026-11-28T06:00+01:00") from error
    if moment.tzinfo is not None:
        return moment
    if zone is None:
        raise ValueError(
            f"from.time: {shown(text)} is not allowed: add the offset, such as +01:00, or set text.time_zone"
        )
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise ValueError(f"from.time: {shown(text)} occurs never or twice, because the clocks change; add the offset")
    return first


def _check(name: str, value: str | None, config: TextConfig, plans: Mapping[str, Plan]) -> None:
    """Raises ValueError."""
    if name not in config.fields:
        raise ValueError(f"fields.{shown(name)[1:-1]}: there is no such field{did_you_mean(name, config.fields)}")
    field = config.fields[name]
    if name not in plans:
        kind = field.expect.source if field.expect is not None else "label"
        allowed = ", ".join(plans) or "none"
        raise ValueError(f"fields.{name}: its text comes from the {kind}; values may be given for: {allowed}")
    if len(plans[name].waiting) >= MOST_WAITING:
        raise ValueError(f"fields.{name}: {MOST_WAITING} values wait for their label already")
    if value is None:
        return
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"fields.{name}: {shown(value)} is not allowed: only printable ASCII characters are")
    if not value.strip():
        raise ValueError(f"fields.{name}: {shown(value)} is not allowed: it has spaces only")
    text = written(value, field.expect)
    if field.form is not None and not field.form.matches(text):
        raise ValueError(f"fields.{name}: {shown(text)} does not match the pattern {field.pattern}")
    if isinstance(field, CodeField):
        try:
            gs1.content(text)
        except ValueError as error:
            raise ValueError(f"fields.{name}: {shown(text)} {error}") from error
