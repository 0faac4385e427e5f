"""`inspectd control`: ask the running line for its status, a reload, or the end of a latched stop."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inspectd.config import load_config
from inspectd.control.client import ask
from inspectd.control.protocol import Verb
from inspectd.errors import ConfigError
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
        "release a latched stop, after you have looked",
        "Says that somebody has looked: a latched stop ends, and a camera trigger that was found dead is trusted again. "
        "The log and the journal record who did it. Nothing else changes.",
    ),
    "reload": (
        "load config and engine again, and release a latched stop",
        "Reads the config again, loads its engine and releases a latched stop, as SIGHUP does, and waits until the engine is "
        "loaded. Exit code 1 if the line goes on with its old engine.",
    ),
}


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


def _asking(verb: Verb) -> Callable[..., int]:
    def run(config: Path | None, socket: Path | None, json: bool) -> int:
        return _run(verb, config, socket, as_json=json)

    return run


def _run(verb: Verb, config: Path | None, socket: Path | None, *, as_json: bool) -> int:
    """Raises ConfigError, ControlError, RefusedError."""
    answer = ask(socket or _socket(config), verb)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _SHOW[verb](answer)
    return int(verb == "status" and not answer["run_permit"])


def _socket(config: Path | None) -> Path:
    assert config is not None  # the parser demands one of the two
    section = load_config(config).control
    if section is None:
        raise ConfigError(
            f"{config}: control: missing; add 'control: {{socket: /run/inspectd/control.sock}}' and restart the line"
        )
    return section.socket


def _show_status(answer: dict[str, Any]) -> None:
    books = answer["books"]
    rows = {
        "run permit": "on" if answer["run_permit"] else f"OFF: {answer['gate']}",
        "latched stop": answer["stop"] or "none",
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
    }
    table = folding_table("", "", title=answer["name"], show_header=False)
    for name, value in rows.items():
        table.add_row(name, str(value))
    console().print(table)
    if answer["stop"]:
        print("The belt stands until somebody has looked: inspectd control acknowledge")


def _show_acknowledged(answer: dict[str, Any]) -> None:
    if answer["stop"]:
        print(
            f"released: {answer['stop']}; `inspectd control status` shows whether something else keeps run permit off"
        )
    else:
        print("there was no latched stop")


def _show_reloaded(answer: dict[str, Any]) -> None:
    print(f"engine {answer['engine']} {answer['engine_version']} judges from the next label on")
    if answer["after_restart"]:
        print(f"changes in these sections take effect at the next restart: {', '.join(answer['after_restart'])}")


_SHOW: dict[Verb, Callable[[dict[str, Any]], None]] = {
    "status": _show_status,
    "acknowledge": _show_acknowledged,
    "reload": _show_reloaded,
}
