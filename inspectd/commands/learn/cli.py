"""The options of `inspectd learn`."""

import argparse
from pathlib import Path

_EPILOG = """\
example:
  inspectd learn --config /etc/inspectd/line.yaml --reviews /var/lib/inspectd-web/reviews --out learned
  inspectd engines activate /etc/inspectd/engines/filter-label learned/filter-label-2.1.0

What it does:
  1. One reviewed label in two fits the head anew, together with the photos that the engine keeps. Labels are taken in
     blocks of ten that came one after another.
  2. The calibration photos that the engine keeps say how low the threshold may be.
  3. The other reviewed labels prove that the new engine is not worse. They decide at which thresholds that is proven; nothing else is
     fitted to them.
It refuses if that is not proven, if a golden image gets a worse verdict, if the guarantee would get worse, or if the
labels contradict each other or the engine. Then it says why, and which labels would help.

exit codes: 0 a new engine is written; 1 refused; 2 wrong usage; 78 config, engine, reviews or key can't be used"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Fits the head of the line's engine to labels that people reviewed, and writes a new engine if it is proven not worse. The "
        "backbone stays. Of the guard, only the limits change. It takes seconds to minutes and needs no GPU. The line is not changed."
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the line's YAML file")
    parser.add_argument(
        "--reviews", type=Path, required=True, metavar="FOLDER", help="folder of the reviews, which the page keeps"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder for the new engine and the report, learn.json"
    )
    parser.add_argument("--sign", type=Path, metavar="PRIVATE.pem", help="sign the new engine with this key")
    parser.add_argument(
        "--json", action="store_true", dest="as_json", help="print the report as one JSON object in the last line"
    )
    parser.set_defaults(verb=_learn)


def _learn(config: Path, reviews: Path, out: Path, sign: Path | None, as_json: bool) -> int:
    from inspectd.commands.learn.run import run

    return run(config, reviews, out, sign, as_json=as_json)
