"""`inspectd text`: set up the verification of the text on a line's labels."""

import argparse
from pathlib import Path

_EPILOG = """\
from photos of good labels to a line that verifies their text:
  inspectd text teach /etc/inspectd/line.yaml photos/good --reader /opt/inspectd/line-3-reader --out text.yaml
  look at text.png, correct text.yaml, and copy it into line.yaml
  inspectd check --config /etc/inspectd/line.yaml

exit codes: 0 done; 2 wrong usage; 78 config, engine, reader or photos rejected"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `text`; each sets `verb` to a function that takes the other options by their names."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verb = verbs.add_parser(
        "teach",
        help="propose the section text of the config from photos of good labels",
        description="Finds lines of text and codes on photos of good labels, reads them, and proposes a field for each: its box, "
        "a pattern (what stays the same and what changes), and where the expected text comes from. It shows the boxes in a "
        "picture. Photos that the engine rejects are not used. Take photos of several jobs and days. A person must look at the "
        "result: a text that is the same on all photos is proposed as a constant.",
    )
    verb.add_argument(
        "config", type=Path, metavar="CONFIG", help="the line's YAML file; its engine needs a guard with a print"
    )
    verb.add_argument(
        "photos", type=Path, metavar="PHOTOS", help="folder of photos of good labels from the line's camera"
    )
    verb.add_argument(
        "--reader",
        type=Path,
        metavar="FOLDER",
        help="the reader that is commissioned for the printer's font; default: the reader of the config",
    )
    verb.add_argument("--font", metavar="NAME", help="the printer's font, if the reader knows several")
    verb.add_argument(
        "--out", type=Path, metavar="FILE", help="write the section to this file; default: standard output"
    )
    verb.add_argument(
        "--picture", type=Path, default=Path("text.png"), metavar="FILE", help="shows the boxes; default: %(default)s"
    )
    verb.add_argument(
        "--crops",
        type=Path,
        metavar="FOLDER",
        help="also write each line of each photo with its text to this new folder, to commission the font from it: correct "
        "lines.csv, then tools/reader.py commission",
    )
    verb.set_defaults(verb=_teach)


def _teach(
    config: Path,
    photos: Path,
    reader: Path | None,
    font: str | None,
    out: Path | None,
    picture: Path,
    crops: Path | None,
) -> int:
    from inspectd.commands.text.teach import run

    return run(config, photos, reader, font, out, picture, crops)
