"""A line as `Expectations` sees it: parts at a steady rate, and a wall clock that a test may set."""

from typing import Any

from inspectd.control.protocol import Begin, ExpectRequest
from inspectd.control.requester import Requester
from inspectd.part import Part
from inspectd.text.config import TextConfig
from inspectd.text.expectation import Expectations

PRINTER = Requester("printer", 990, 812)
BOX = [0, 0, 100, 20]


def text(source: str, *, pattern: str | None = None, **expect: Any) -> dict[str, Any]:
    return {"kind": "text", "font": "dots", "box": BOX, "pattern": pattern, "expect": {"from": source, **expect}}


def code(source: str | None = None, **expect: Any) -> dict[str, Any]:
    rule = None if source is None else {"from": source, **expect}
    return {"kind": "code", "symbology": "data_matrix", "box": BOX, "expect": rule}


def expectations(fields: dict[str, Any], zone: str = "Europe/Berlin") -> Expectations:
    section = {"reader": "reader", "time_zone": zone, "clock": "set_by_hand", "fields": fields}
    return Expectations(TextConfig.model_validate(section))


def give(found: Expectations, begin: Any = "next", **values: str | None) -> dict[str, Any]:
    start = begin if begin == "next" else Begin(**begin)
    return found.give(ExpectRequest.model_validate({"verb": "expect", "fields": values, "from": start}), PRINTER)


def part(number: int, t_ns: int = 0, utc_ns: int = 1_800_000_000_000_000_000) -> Part:
    return Part(number, number, t_ns, utc_ns, t_ns + 180_000_000)
