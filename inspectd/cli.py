"""The `inspectd` command. Each verb lives in a module of its own, imported only when it is asked for."""

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypeAlias

from inspectd import __version__
from inspectd.errors import InspectdError
from inspectd.logs import configure_logs, flush_logs, last_words
from inspectd.shipped import shipped
from inspectd.terminal import open_missing_streams, print_any_text, print_error, print_no_more, printable

_EPILOG = """\
a first look, without camera or rejector:
  inspectd demo out/labels
on a line:
  inspectd check --config /etc/inspectd/line.yaml && inspectd run --config /etc/inspectd/line.yaml

exit codes (sysexits.h):
  0   done                     70  the line can't vouch for its parts any more
  1   the verb's own finding   74  the journal or another file can't be read or written
  2   wrong usage              75  camera or output gone; worth a restart
                               78  bad configuration or engine; not worth one"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. Errors raised on purpose end in their message, not in a traceback."""
    open_missing_streams()
    args = _parser().parse_args(arguments)
    configure_logs()
    print_any_text()
    try:
        code = int(args.verb(args))
        sys.stdout.flush()
    except InspectdError as error:
        print_error("inspectd", error)
        code = error.exit_code
    except BrokenPipeError:  # nobody reads on, as in `inspectd report --csv | head`
        code = 0
        print_no_more()
    except OSError as error:  # the disk is full, or a folder may not be entered
        print_error("inspectd", OSError(f"{error.filename or 'standard output'}: {error.strerror or error}"))
        code = os.EX_IOERR
        print_no_more()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    if arguments is None and threading.active_count() > 1:
        _leave_threads_behind(code)
    return code


def _leave_threads_behind(code: int) -> NoReturn:
    """End the process, in which all that must be closed is closed, without the interpreter's own end: that would abort
    where a thread is inside a native library, such as a reload that is loading its engine or a camera that hangs."""
    flush_logs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inspectd",
        description="Line-side print inspection: a label is guilty until proven good.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"inspectd {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_run(verbs)
    _add_check(verbs)
    _add_demo(verbs)
    _add_engines(verbs)
    _add_report(verbs)
    _add_schema(verbs)
    return parser


Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the line's YAML file")


def _add_run(verbs: Verbs) -> None:
    parser = verbs.add_parser("run", help="inspect labels until told to stop (what the service does)")
    _add_config(parser)
    parser.set_defaults(verb=_run)


def _run(args: argparse.Namespace) -> int:
    from inspectd.service.run import run

    configure_logs(drop=True)
    code = 0
    try:
        run(args.config)
    except InspectdError as error:
        last_words(printable(f"inspectd: {error}"))
        code = error.exit_code
    except Exception:
        last_words(traceback.format_exc())
        code = InspectdError.exit_code
    return code


def _add_check(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "check",
        help="is everything the line needs there? with a fix for what is not; exit code 1 if something fails",
    )
    _add_config(parser)
    parser.add_argument(
        "--pulse",
        action=argparse.BooleanOptionalAction,
        help="pulse the actuator once and read both states back; asks at a terminal if left out",
    )
    parser.set_defaults(verb=_check)


def _check(args: argparse.Namespace) -> int:
    from inspectd.commands.check import run

    return run(args.config, pulse=args.pulse)


def _add_demo(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "demo",
        help="run the real daemon on a folder of images whose truth is known, and compare",
        description="Serves the images that FOLDER/truth.csv names through the configured camera, runs the real daemon "
        "beside a live view, and ends with a table against the truth. Exit code 1 if a faulty label was passed.",
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=shipped("config/demo.yaml"),
        metavar="FILE",
        help="the line's YAML file; default: the shipped demo line with an emulated camera",
    )
    parser.add_argument("folder", type=Path, help="with its truth.csv, from tools/synthesize.py or prepare_data.py")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="journal, archive and contact sheet go here")
    parser.set_defaults(verb=_demo)


def _demo(args: argparse.Namespace) -> int:
    from inspectd.commands.demo.run import run

    return run(args.config, args.folder, args.out)


def _add_engines(verbs: Verbs) -> None:
    from inspectd.commands.engines.cli import add_arguments

    add_arguments(verbs.add_parser("engines", help="list, compare, sign, activate and roll back engine bundles"))


def _add_report(verbs: Verbs) -> None:
    from inspectd.commands.report.cli import add_arguments, run

    parser = verbs.add_parser("report", help="what the journal says about an hour, a day or any range")
    add_arguments(parser)
    parser.set_defaults(verb=run)


def _add_schema(verbs: Verbs) -> None:
    parser = verbs.add_parser("schema", help="print the JSON schema of the config file, for editors")
    parser.set_defaults(verb=_schema)


def _schema(_: argparse.Namespace) -> int:
    from inspectd.config import config_schema

    print(config_schema())
    return 0
