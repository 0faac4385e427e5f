"""`inspectd engines`: list, compare and sign engine bundles, put one on the line, and go back."""

import argparse
from pathlib import Path

from inspectd.errors import ConfigError

_EPILOG = """\
a new engine, from the build to the line and back:
  inspectd engines list engines
  inspectd engines compare engines/filter-label engines/filter-label-1.1.0 --data labels.csv
  inspectd engines sign engines/filter-label-1.1.0 --key private.pem
  inspectd engines activate /etc/inspectd/engines/filter-label engines/filter-label-1.1.0
  systemctl reload inspectd
  inspectd engines rollback /etc/inspectd/engines/filter-label && systemctl reload inspectd

exit codes: 0 done; 1 `list` found no bundle, or rejected one; 2 wrong usage; of `pull`: its own help; 78 bundle, link, key or photos rejected"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `engines`; each sets `verb` to a function that takes the other options by their names."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("list", help="show the bundles of a folder, with their thresholds and error rates")
    verb.add_argument("folder", type=Path, nargs="?", default=Path("engines"), help="default: %(default)s")
    _add_json(verb)
    verb.set_defaults(verb=_list)

    verb = verbs.add_parser(
        "compare",
        help="run two engines on the same labelled photos",
        description="Counts the verdicts of both engines per class, and their false accepts and false rejects with confidence "
        "intervals. Says whether the difference can be chance (McNemar's exact test). Photos count as "
        "independent: use one photo per label, and no photo that training or calibration has used.",
    )
    verb.add_argument("a", type=Path, metavar="A", help="bundle, for example the one in use")
    verb.add_argument("b", type=Path, metavar="B", help="bundle, for example the new one")
    verb.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="manifest of prepare_data.py (its test photos), or folder with truth.csv, or folder with one folder of photos per "
        "class; a folder whose name is not a class of the engine holds unknowns",
    )
    _add_json(verb)
    verb.set_defaults(verb=_compare)

    verb = verbs.add_parser(
        "activate",
        help="switch the link that a line's config names to another bundle",
        description="Checks the whole bundle (every SHA-256, every golden image), then switches the link in one step. "
        "LINK.previous remembers the bundle before. The link is created if it does not exist.",
    )
    _add_link(verb)
    verb.add_argument("bundle", type=Path, metavar="BUNDLE", help="such as /opt/inspectd/engines/filter-label-1.1.0")
    verb.set_defaults(verb=_activate)

    verb = verbs.add_parser(
        "rollback",
        help="switch the link back to the bundle before",
        description="Checks the bundle that LINK.previous points to, then renames LINK.previous to LINK. "
        "Only one step back is remembered. Use `activate` to go forward again.",
    )
    _add_link(verb)
    verb.set_defaults(verb=_rollback)

    verb = verbs.add_parser(
        "pull",
        help="fetch the engine that a repository assigns to this line, and put it on the line",
        description="Checks signatures and every SHA-256, loads the bundle as the line does, switches the link, and lets the "
        "line reload. If the line refuses, the link goes back. Exit code 0: done, or nothing new. 1: the repository or the "
        "bundle is refused. 74: a file can't be written. 75: the repository or the line does not answer, or another pull runs. "
        "78: wrong config. The line goes on in each case.",
    )
    verb.add_argument("--config", type=Path, required=True, metavar="FILE", help="such as /etc/inspectd/pull.yaml")
    verb.add_argument(
        "--again",
        action="store_true",
        help="also put on what the line has refused, or what somebody has replaced by hand",
    )
    verb.add_argument("--json", action="store_true", dest="as_json", help="print the result as JSON")
    verb.set_defaults(verb=_pull)

    verb = verbs.add_parser("keygen", help="make a pair of keys for sign and verify (Ed25519, PEM)")
    verb.add_argument("private", type=Path, metavar="PRIVATE.pem", help="new file, mode 0600; do not copy it to a line")
    verb.add_argument("public", type=Path, metavar="PUBLIC.pem", help="new file; `inference.signed_by` names it")
    verb.set_defaults(verb=_keygen)

    verb = verbs.add_parser(
        "sign",
        help="sign a bundle, for lines with `inference.signed_by`",
        description="Checks every SHA-256, then writes engine.yaml.sig, the signature of engine.yaml. engine.yaml lists the "
        "SHA-256 of every other file. A reader of text is signed in the same way: reader.yaml.sig.",
    )
    verb.add_argument("bundle", type=Path, metavar="BUNDLE")
    verb.add_argument("--key", type=Path, required=True, metavar="PRIVATE.pem", help="the private key, from keygen")
    verb.set_defaults(verb=_sign)

    verb = verbs.add_parser("verify", help="check that a bundle is whole and signed by the holder of a key")
    verb.add_argument("bundle", type=Path, metavar="BUNDLE")
    verb.add_argument("--key", type=Path, required=True, metavar="PUBLIC.pem", help="the public key, from keygen")
    verb.set_defaults(verb=_verify)


# The modules that do the work load runtimes and camera SDK. No other verb of `inspectd` shall wait for these.


def _list(folder: Path, as_json: bool) -> int:
    from inspectd.commands.engines.listing import run

    return run(folder, as_json=as_json)


def _compare(a: Path, b: Path, data: Path, as_json: bool) -> int:
    from inspectd.commands.engines.compare import run

    return run(a, b, data, as_json=as_json)


def _activate(link: Path, bundle: Path, config: Path | None) -> int:
    from inspectd.commands.engines.activation import run_activate

    return run_activate(link, bundle, config)


def _rollback(link: Path, config: Path | None) -> int:
    from inspectd.commands.engines.activation import run_rollback

    return run_rollback(link, config)


def _keygen(private: Path, public: Path) -> int:
    from inspectd.commands.engines.signing import run_keygen

    return run_keygen(private, public)


def _sign(bundle: Path, key: Path) -> int:
    from inspectd.commands.engines.signing import run_sign

    return run_sign(bundle, key)


def _verify(bundle: Path, key: Path) -> int:
    from inspectd.commands.engines.signing import run_verify

    return run_verify(bundle, key)


def _pull(config: Path, again: bool, as_json: bool) -> int:
    try:
        from inspectd.commands.engines.pull.run import run
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"inspectd engines pull needs {error.name}: install it with pip install 'inspectd[fleet]'"
        ) from error
    return run(config, again, as_json)


def _add_json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", dest="as_json", help="print JSON instead of a table")


def _add_link(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("link", type=Path, metavar="LINK", help="such as /etc/inspectd/engines/filter-label")
    verb.add_argument(
        "--config", type=Path, metavar="FILE", help="a line's YAML file: load the bundle as this line does"
    )
