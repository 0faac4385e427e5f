"""The `inspectd` command. Each verb is a function, called with the verb's options by their names.

The modules that do the work are imported only when their verb is called.
"""

import argparse
import functools
import importlib
import os
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import NoReturn, TypeAlias

from inspectd.errors import ConfigError, InspectdError
from inspectd.logs import configure_logs, flush_logs, last_words
from inspectd.shipped import shipped
from inspectd.terminal import (
    ArgumentParser,
    open_missing_streams,
    print_any_text,
    print_error,
    print_no_more,
    printable,
)

_EPILOG = """\
try it, without a camera or a rejector:
  inspectd demo out/labels
on a line:
  inspectd check --config /etc/inspectd/line.yaml && inspectd run --config /etc/inspectd/line.yaml

exit codes (sysexits.h):
  0   done
  1   the verb found a problem; its own help says which
  2   wrong usage
  69  no line answers at the control socket
  70  the line can no longer account for its parts, or an unexpected error
  74  the journal or another file can't be read or written
  75  the camera or the output is not available; a restart can help
  78  the configuration or the engine is wrong; a restart can't help
  130 ended with Ctrl-C"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. Errors raised on purpose end in their message, not in a traceback."""
    open_missing_streams()
    options = vars(parser().parse_args(arguments))
    verb = options.pop("verb")
    configure_logs()
    print_any_text()
    try:
        code = int(verb(**options))
        sys.stdout.flush()
    except InspectdError as error:
        print_error("inspectd", error)
        code = error.exit_code
    except BrokenPipeError:  # the reader has ended, as in `inspectd report --csv | head`
        code = 0
        print_no_more()
    except OSError as error:  # the disk is full, or this user may not enter a folder
        print_error("inspectd", OSError(f"{error.filename or 'standard output'}: {error.strerror or error}"))
        code = os.EX_IOERR
        print_no_more()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    if arguments is None and threading.active_count() > 1:
        _leave_threads_behind(code)
    return code


def _leave_threads_behind(code: int) -> NoReturn:
    """End the process without the interpreter's own clean-up; all that must be closed is closed.

    That clean-up would abort while a thread is inside a native library, such as a reload that loads its engine or a
    camera that hangs.
    """
    flush_logs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def parser() -> ArgumentParser:
    """Of the whole command. `verb` of what it parses is a function that takes all other options by their names."""
    parser = ArgumentParser(
        prog="inspectd",
        description="Line-side print inspection: a label is guilty until proven good.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"inspectd {_version()}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_run(verbs)
    _add_audit(verbs)
    _add_check(verbs)
    _add_config_verb(verbs)
    _add_control(verbs)
    _add_demo(verbs)
    _add_engines(verbs)
    _add_learn(verbs)
    _add_report(verbs)
    _add_repository(verbs)
    _add_schema(verbs)
    _add_serve(verbs)
    _add_text(verbs)
    _add_users(verbs)
    return parser


def _version() -> str:
    try:
        return metadata.version("inspectd")
    except metadata.PackageNotFoundError:  # a checkout that pip has not installed
        return "(not installed)"


Verbs: TypeAlias = "argparse._SubParsersAction[ArgumentParser]"


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the line's YAML file")


def _add_run(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "run",
        help="inspect labels until a signal stops it; the service runs this",
        description="Inspects labels until SIGTERM or Ctrl-C stops it: labels on the way get their verdict first. SIGHUP "
        "(kill -HUP PID) reads the config again, loads its engine and releases the latched stops. "
        "Exit codes: see inspectd --help.",
    )
    _add_config(parser)
    parser.set_defaults(verb=_run)


def _run(config: Path) -> int:
    from inspectd.service.run import run

    configure_logs(drop=True)
    code = 0
    try:
        run(config)
    except InspectdError as error:
        last_words(printable(f"inspectd: {error}"))
        code = error.exit_code
    except Exception:
        last_words(traceback.format_exc())
        code = InspectdError.exit_code
    return code


def _add_audit(verbs: Verbs) -> None:
    from inspectd.commands.audit import add_arguments

    add_arguments(
        verbs.add_parser("audit", help="show who did what on the operator's page, and check that nothing was altered")
    )


def _add_check(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "check",
        help="check config, engine, camera, output, disk and clock; print a fix for each failure",
        description="Checks config, engine, camera, output, journal, disk and clock, and prints a fix for each failure. "
        "Exit code 1 if a check failed.",
    )
    _add_config(parser)
    touch = parser.add_mutually_exclusive_group()
    touch.add_argument(
        "--pulse",
        action=argparse.BooleanOptionalAction,
        help="pulse the actuator once and read both states back; without this option it asks, if there is a terminal",
    )
    touch.add_argument(
        "--look-only",
        action="store_true",
        help="touch neither camera nor output nor journal; the operator's page checks a line in this way",
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON instead of a table")
    parser.set_defaults(verb=_check)


def _check(config: Path, pulse: bool | None, look_only: bool, as_json: bool) -> int:
    from inspectd.commands.check import run

    return run(config, pulse=pulse, look_only=look_only, as_json=as_json)


def _add_config_verb(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "config",
        help="print the whole config of a line as JSON, with its defaults and its schema",
        description="Checks the config and prints it as JSON: every key with its value or its default, absolute paths, and "
        "the schema with a sentence per key. Passwords in URLs are hidden.",
    )
    _add_config(parser)
    parser.set_defaults(verb=_config)


def _config(config: Path) -> int:
    from inspectd.commands.config import run

    return run(config)


def _add_control(verbs: Verbs) -> None:
    from inspectd.commands.control import add_arguments

    add_arguments(
        verbs.add_parser("control", help="ask the running line for its status, a reload, or the end of a stop")
    )


def _add_demo(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "demo",
        help="run the real daemon on a folder of images with known truth, and compare",
        description="Plays the images that FOLDER/truth.csv lists through the configured camera, runs the real daemon, shows "
        "it live, and compares its verdicts with the truth. Exit code 1 if a faulty label was passed.",
    )
    parser.add_argument("folder", type=Path, help="images and truth.csv, from tools/synthesize.py or prepare_data.py")
    parser.add_argument(
        "--config",
        type=Path,
        default=shipped("config/demo.yaml"),
        metavar="FILE",
        help="the line's YAML file; default: the shipped demo line with an emulated camera",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/demo"), help="folder for the results; default: %(default)s"
    )
    parser.set_defaults(verb=_demo)


def _demo(config: Path, folder: Path, out: Path) -> int:
    from inspectd.commands.demo.run import run

    return run(config, folder, out)


def _add_engines(verbs: Verbs) -> None:
    from inspectd.commands.engines.cli import add_arguments

    add_arguments(verbs.add_parser("engines", help="list, compare, sign, activate and roll back engine bundles"))


def _add_learn(verbs: Verbs) -> None:
    from inspectd.commands.learn.cli import add_arguments

    add_arguments(
        verbs.add_parser("learn", help="make a better engine from reviewed labels, if it is proven not worse")
    )


def _add_report(verbs: Verbs) -> None:
    from inspectd.commands.report.cli import add_arguments

    add_arguments(verbs.add_parser("report", help="summarise what the journal recorded in a range of time"))


def _add_repository(verbs: Verbs) -> None:
    from inspectd.commands.repository.cli import add_arguments

    add_arguments(verbs.add_parser("repository", help="publish engines for many lines, and say which line uses which"))


def _add_schema(verbs: Verbs) -> None:
    parser = verbs.add_parser("schema", help="print the JSON schema of a config file, for editors")
    of = parser.add_mutually_exclusive_group()
    for option, (of_what, module, name) in _SCHEMAS.items():
        of.add_argument(
            option, dest="schema", action="store_const", const=(module, name), help=f"of {of_what} instead of the line"
        )
    parser.set_defaults(verb=_schema, schema=("inspectd.config", "config_schema"))


_SCHEMAS = {
    "--page": ("the operator's page", "inspectd.serve.web.config", "page_schema"),
    "--metrics": ("`inspectd serve metrics`", "inspectd.serve.metrics.config", "metrics_schema"),
    "--mqtt": ("`inspectd serve mqtt`", "inspectd.serve.mqtt.config", "mqtt_schema"),
    "--mqtt-messages": ("the messages of `inspectd serve mqtt`", "inspectd.serve.mqtt.messages", "message_schema"),
    "--pull": ("`inspectd engines pull`", "inspectd.fleet.config", "pull_schema"),
}
"""Option -> what it is, and the function that returns the schema."""


def _schema(schema: tuple[str, str]) -> int:
    module, name = schema
    print(getattr(importlib.import_module(module), name)())
    return 0


def _add_serve(verbs: Verbs) -> None:
    parser = verbs.add_parser("serve", help="show the line to people and to other programs")
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    _add_served(
        kinds,
        "web",
        "the operator's page in a browser",
        "Serves the operator's page: the line now, review of rejects, reports, engines and set-up. It is a process of its own. "
        "It reads the journal and never disturbs the line.",
    )
    _add_served(
        kinds,
        "metrics",
        "metrics for Prometheus",
        "Serves http://127.0.0.1:9440/metrics for Prometheus: parts by verdict, latency, stops, run permit, engine and disk. It is "
        "a process of its own. It follows the journal and never disturbs the line. It keeps its counts in a file, so that they "
        "go on after a restart. What can't be known now is left out: then inspectd_line_up or inspectd_journal_readable is 0.",
        "example of a config file:\n  line: /etc/inspectd/line.yaml\n  host: 0.0.0.0   # default: 127.0.0.1\n\n"
        "look at the metrics:\n  curl http://127.0.0.1:9440/metrics",
    )
    _add_served(
        kinds,
        "mqtt",
        "every part and stop to an MQTT broker",
        "Publishes each change of the journal to an MQTT 5 broker, as JSON: parts, stops, outages and runs of the line, and its state "
        "(retained). Nothing is lost while the broker, the network or this program is down: it goes on where the broker has "
        "acknowledged. So a message may come twice; journal and number in it say which one it is. It subscribes to nothing, so "
        "nobody can control the line through it.",
        "example of a config file:\n  line: /etc/inspectd/line.yaml\n  broker:\n    host: broker.plant.example\n"
        "    tls: {ca: /etc/inspectd/broker-ca.pem}\n    login: {user: line-1, password_file: /etc/inspectd/mqtt.password}\n\n"
        "look at the messages:\n  mosquitto_sub -h broker.plant.example -t 'inspectd/#' -v",
    )


def _add_served(kinds: Verbs, what: str, about: str, description: str, epilog: str = "") -> None:
    parser = kinds.add_parser(
        what,
        help=about,
        description=textwrap.fill(description, 100),
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help=f"its YAML file, such as /etc/inspectd/{what}.yaml"
    )
    parser.set_defaults(verb=functools.partial(_serve, what))


def _serve(what: str, config: Path) -> int:
    try:
        server = importlib.import_module(f"inspectd.serve.{what}.server")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"inspectd serve {what} needs {error.name}: install it with pip install 'inspectd[{what}]'"
        ) from error
    return int(server.serve(config))


def _add_text(verbs: Verbs) -> None:
    from inspectd.commands.text.cli import add_arguments

    add_arguments(verbs.add_parser("text", help="set up the verification of the text on labels"))


def _add_users(verbs: Verbs) -> None:
    from inspectd.commands.users import add_arguments

    add_arguments(verbs.add_parser("users", help="add, change and remove the users of the operator's page"))
