"""`inspectd engines`: the life of an engine bundle: look at it, compare it, sign it, put it on the line, go back."""

import argparse
from pathlib import Path

from inspectd.commands.engines import activation, compare, listing, signing

_EPILOG = """\
a new engine, from the build to the line and back:
  inspectd engines list engines
  inspectd engines compare engines/filter-label engines/filter-label-1.1.0 --data photos/test
  inspectd engines sign engines/filter-label-1.1.0 --key private.pem
  inspectd engines activate /etc/inspectd/engines/filter-label engines/filter-label-1.1.0
  systemctl reload inspectd
  inspectd engines rollback /etc/inspectd/engines/filter-label && systemctl reload inspectd

exit codes: 0 done, 1 `list` found a bundle that is refused, or none, 2 wrong usage, 78 bundle, link, key or photos refused"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("list", help="the bundles of a folder and what they are worth")
    verb.add_argument("folder", type=Path, nargs="?", default=Path("engines"), help="default: engines")
    verb.add_argument("--json", action="store_true", help="for machines")
    verb.set_defaults(verb=lambda args: listing.run(args.folder, as_json=args.json))

    verb = verbs.add_parser(
        "compare",
        help="run two engines on the same labelled photos",
        description="Counts the verdicts of both engines per class, false accepts and false rejects with their intervals, and "
        "says whether the photos tell which engine is right more often (McNemar's exact test). Photos count as "
        "independent: use one of each label, and none that training or calibration has seen.",
    )
    verb.add_argument("a", type=Path, metavar="A", help="bundle, e.g. the one in use")
    verb.add_argument("b", type=Path, metavar="B", help="bundle, e.g. the new one")
    verb.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="one folder of photos per class; a folder whose name is not a class of an engine holds what it can't know",
    )
    verb.add_argument("--json", action="store_true", help="for machines")
    verb.set_defaults(verb=lambda args: compare.run(args.a, args.b, args.data, as_json=args.json))

    verb = verbs.add_parser(
        "activate",
        help="switch the link that a line's config names to another bundle",
        description="Loads the bundle whole (every SHA-256, every golden image), then switches the link in one step. The "
        "bundle before is remembered in LINK.previous. A link that is not there yet is made.",
    )
    _add_link(verb)
    verb.add_argument("bundle", type=Path, metavar="BUNDLE", help="e.g. /opt/inspectd/engines/filter-label-1.1.0")
    verb.set_defaults(verb=lambda args: activation.run_activate(args.link, args.bundle, args.config))

    verb = verbs.add_parser(
        "rollback",
        help="switch the link back to the bundle before",
        description="Loads the bundle that LINK.previous points to, then renames LINK.previous to LINK. "
        "One step back is remembered; forward again goes with `activate`.",
    )
    _add_link(verb)
    verb.set_defaults(verb=lambda args: activation.run_rollback(args.link, args.config))

    verb = verbs.add_parser("keygen", help="make a pair of keys for sign and verify (Ed25519, PEM)")
    verb.add_argument("private", type=Path, metavar="PRIVATE.pem", help="new file, mode 0600; belongs on no line")
    verb.add_argument("public", type=Path, metavar="PUBLIC.pem", help="new file; what `inference.signed_by` names")
    verb.set_defaults(verb=lambda args: signing.run_keygen(args.private, args.public))

    verb = verbs.add_parser(
        "sign",
        help="sign a bundle, for lines with `inference.signed_by`",
        description="Checks every SHA-256, then writes engine.yaml.sig: the signature of engine.yaml, which lists them all.",
    )
    verb.add_argument("bundle", type=Path, metavar="BUNDLE")
    verb.add_argument("--key", type=Path, required=True, metavar="PRIVATE.pem")
    verb.set_defaults(verb=lambda args: signing.run_sign(args.bundle, args.key))

    verb = verbs.add_parser("verify", help="has the holder of a key signed this bundle, and is it whole?")
    verb.add_argument("bundle", type=Path, metavar="BUNDLE")
    verb.add_argument("--key", type=Path, required=True, metavar="PUBLIC.pem")
    verb.set_defaults(verb=lambda args: signing.run_verify(args.bundle, args.key))


def _add_link(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("link", type=Path, metavar="LINK", help="e.g. /etc/inspectd/engines/filter-label")
    verb.add_argument(
        "--config", type=Path, metavar="FILE", help="a line's YAML file: load as this line does (backend, signature)"
    )
