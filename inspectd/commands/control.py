"""`inspectd control`: ask the running line for its status or a reload, acknowledge stops, or tell what labels must say."""

import argparse
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inspectd.control.client import ask
from inspectd.control.protocol import Verb
from inspectd.control.stops import STOPS, StopName
from inspectd.errors import ConfigError, RefusedError
from inspectd.terminal import console, folding_table

_EPILOG = """\
example:
  inspectd control status --config /etc/inspectd/line.yaml

Root and the members of the group inspectd may use it:  usermod -aG inspectd NAME

exit codes: 0 done, 1 the line refuses or (status) run permit is off, 69 no line answers; others: see inspectd --help"""

_HELP: dict[Verb, tuple[str, str]] = {
    "status": (
        "show whether the belt may run, and what passed",
        "Shows the state of the running line. Exit code 1 if run permit is off.",
    ),
    "acknowledge": (
        "release latched stops, after you have looked",
        "Says that somebody has looked: the named stops end. A stop that came after you have looked holds on. Without names, "
        "the only latched stop ends, and a camera trigger that was found dead is trusted again; if there are more, the line "
        "refuses. The log and the journal record who did it. Nothing else changes.",
    ),
    "reload": (
        "load config and engine again",
        "Reads the config again, loads its engine, and waits until it is loaded. A latched stop holds on: only SIGHUP also "
        "acknowledges. Exit code 1 if the line goes on with its old engine.",
    ),
    "expect": (
        "tell which text the next labels must bear",
        "Tells the line the values of fields whose text is 'given', and the first number of a counter (section text of the "
        "config). From then on only labels with these values pass. All of them count, or none: if one is wrong, the line refuses "
        "the request and nothing changes. The line forgets the values when it ends: tell them again after a restart, because "
        "until then no label passes.",
    ),
    "confirm_clock": (
        "confirm that the clock of this computer is right",
        "While the clock of this computer is known to be wrong, no label with a date passes: it was never synchronised, or "
        "somebody has set it. This says that it is right, until it is set again. Look at `date` first. The log says who did it.",
    ),
}
_EXPECT_EPILOG = """\
examples:
  a new job, from the next label that is triggered:
      inspectd control expect lot=7481-83 --config /etc/inspectd/line.yaml
  the same from part 1042 on (`inspectd control status` shows the number of the next part):
      inspectd control expect lot=7481-83 serial=S00001 --from-part 1042 --config /etc/inspectd/line.yaml
  from a time on, in text.time_zone of the config unless it has an offset:
      inspectd control expect lot=7481-84 --from-time 2026-11-28T06:00 --config /etc/inspectd/line.yaml
  the job is over, and no label may pass until the next one is told:
      inspectd control expect lot= --config /etc/inspectd/line.yaml

A printer's controller sends the same as one line of JSON to the socket, and reads one line as the answer:
  {"version": 1, "verb": "expect", "fields": {"lot": "7481-83"}, "from": {"part": 1042}}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Asks the running line for something, over its control socket (section control of the config)."
    parser.epilog = _EPILOG
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for verb, (short, description) in _HELP.items():
        child = verbs.add_parser(verb, help=short, description=description)
        place = child.add_mutually_exclusive_group(required=True)
        place.add_argument(
            "--config", type=Path, metavar="FILE", help="the line's YAML file; its control.socket is used"
        )
        place.add_argument("--socket", type=Path, metavar="FILE", help="a control socket")
        child.add_argument("--json", action="store_true", help="print the line's answer as JSON")
        child.set_defaults(verb=_asking(verb))
        if verb == "acknowledge":
            child.add_argument("stops", nargs="*", metavar="STOP", help="a stop that `status` shows")
            child.set_defaults(verb=_acknowledge)
        if verb == "expect":
            _add_expect_arguments(child)


def _add_expect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = textwrap.fill(parser.description or "", 78)
    parser.epilog = _EXPECT_EPILOG
    parser.add_argument(
        "values",
        nargs="+",
        type=_value,
        metavar="FIELD=VALUE",
        help="the value of a field; nothing after the = says that no value is right any more",
    )
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--from-part", type=int, metavar="NUMBER", help="the first part (default: the next one)")
    begin.add_argument(
        "--from-time", metavar="TIME", help="the first part is the first one triggered at this time or later"
    )
    parser.set_defaults(verb=_expect)


def _value(text: str) -> tuple[str, str | None]:
    field, is_there, value = text.partition("=")
    if not is_there:
        raise argparse.ArgumentTypeError(f"{text!r} must be FIELD=VALUE, such as lot=7481-83")
    return field, value or None


def _asking(verb: Verb) -> Callable[..., int]:
    def run(config: Path | None, socket: Path | None, json: bool) -> int:
        return _run(verb, config, socket, as_json=json)

    return run


def _acknowledge(config: Path | None, socket: Path | None, json: bool, stops: list[StopName]) -> int:
    return _run("acknowledge", config, socket, as_json=json, **({"stops": stops} if stops else {}))


def _expect(
    config: Path | None,
    socket: Path | None,
    json: bool,
    values: list[tuple[str, str | None]],
    from_part: int | None,
    from_time: str | None,
) -> int:
    fields = dict(values)
    if len(fields) < len(values):
        raise RefusedError("each field may be named once")
    begin: dict[str, Any] = {}
    if from_part is not None:
        begin = {"from": {"part": from_part}}
    elif from_time is not None:
        begin = {"from": {"time": from_time}}
    return _run("expect", config, socket, as_json=json, fields=fields, **begin)


def _run(verb: Verb, config: Path | None, socket: Path | None, *, as_json: bool, **more: Any) -> int:
    """Raises ConfigError, ControlError, RefusedError."""
    answer = ask(socket or _socket(config), verb, **more)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _SHOW[verb](answer)
    return int(verb == "status" and not answer["run_permit"])


def _socket(config: Path | None) -> Path:
    from inspectd.config import load_config

    assert config is not None  # the parser demands one of the two
    section = load_config(config).control
    if section is None:
        raise ConfigError(
            f"{config}: control: missing; add 'control: {{socket: /run/inspectd/control.sock}}' and restart the line"
        )
    return section.socket


def _show_status(answer: dict[str, Any]) -> None:
    books, text = answer["books"], answer.get("text") or {}
    rows = {
        "run permit": "on" if answer["run_permit"] else f"OFF: {answer['gate']}",
        "latched stops": "\n".join(f"{stop}: {STOPS[stop]}" for stop in answer["stops"]) or "none",
        "camera": "delivers" if answer["camera_delivers"] else "does not deliver",
        "stages without progress": ", ".join(answer["stalled"]) or "none",
        "engine": f"{answer['engine']} {answer['engine_version']}"
        + (", a reload is running" if answer["reloading"] else ""),
        "parts per minute": answer["parts_per_minute"],
        "passed": books["passed"],
        **{f"fault: {name}": count for name, count in books["faults"].items()},
        "uncertain": books["uncertain"],
        **{f"missed: {reason}": count for reason, count in books["missed"].items()},
        "images lost": answer["images_lost"],
        **{f"text {name}": _expectation(each) for name, each in text.get("fields", {}).items()},
        **({"next part": text["next_part"]} if text else {}),
    }
    table = folding_table("", "", title=answer["name"], show_header=False)
    for name, value in rows.items():
        table.add_row(name, str(value))
    console().print(table)
    if answer["stops"]:
        print(f"The belt stands until somebody has looked: inspectd control acknowledge {' '.join(answer['stops'])}")


def _expectation(field: dict[str, Any]) -> str:
    """What the next label must say there, and what was told for later ones."""
    allowed = field["allowed"]
    text = allowed if isinstance(allowed, str) else " or ".join(map(repr, allowed))
    later = "".join(f"; {order['value'] or 'nothing'} from {order['from']}" for order in field["later"])
    return f"{text or 'NOTHING PASSES'} ({field['source']}){later}"


def _show_acknowledged(answer: dict[str, Any]) -> None:
    if answer["stops"]:
        print(
            f"released: {', '.join(answer['stops'])}; `inspectd control status` shows whether something else keeps run permit off"
        )
    else:
        print("there was no latched stop")


def _show_reloaded(answer: dict[str, Any]) -> None:
    print(f"engine {answer['engine']} {answer['engine_version']} judges from the next label on")
    if answer["after_restart"]:
        print(f"changes in these sections take effect at the next restart: {', '.join(answer['after_restart'])}")


def _show_expected(answer: dict[str, Any]) -> None:
    print(f"counts from {answer['from']} on; the next label is part {answer['next_part']}")


def _show_clock(answer: dict[str, Any]) -> None:
    if answer["still"]:
        print(f"no date passes yet: {answer['still']}")
    else:
        print(f"confirmed; until now {answer['fault']}" if answer["fault"] else "the clock was trusted already")


_SHOW: dict[Verb, Callable[[dict[str, Any]], None]] = {
    "status": _show_status,
    "acknowledge": _show_acknowledged,
    "reload": _show_reloaded,
    "expect": _show_expected,
    "confirm_clock": _show_clock,
}
