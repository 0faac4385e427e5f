"""How often the same calibration photos were asked, and what that costs.

Each value of --alpha that is tried is one more chance of an unlucky threshold. Who looks at several results and takes the best
must pay for all of them, or the bound holds less often than it says (Bonferroni).
"""

import json
from collections.abc import Sequence
from pathlib import Path

from inspectd.errors import ConfigError
from inspectd.files.atomic_write import atomic_write
from inspectd.files.json_file import read_json
from inspectd.learning.by_kind import ByKind
from inspectd.learning.threshold import Tries, check_enough

_FILE = "calibrations.json"
_MOST_SETS = 4
"""Of values. In a set, a negative number is the cap on rejected good parts."""


def charge(run: Path, kinds: ByKind, fingerprint: str, alphas: Sequence[float], rejected: float | None = None) -> Tries:
    """Record in the folder of the run that `alphas` are tried on the photos with this fingerprint, and say what that costs.

    `rejected`: as in `calibrate`; another one is another choice. The same values again, in any order, cost nothing: they give the
    same thresholds. Raises EngineError if there are too few parts (`kinds`) for a value, which costs nothing either; ConfigError if
    other values were tried on these photos too often, or the record can't be read; OSError.
    """
    path = run / _FILE
    recorded = _read(path)
    before = recorded.get(fingerprint, [])
    asked = sorted(set(alphas))
    for alpha in asked:
        check_enough(kinds.all_faulty, kinds.all_unknown, alpha, Tries(len(asked), 1).each)
    values = asked if rejected is None else [*asked, -rejected]
    if values not in before:
        if len(before) == _MOST_SETS:
            raise ConfigError(
                f"--alpha, --good-rejected: {_MOST_SETS} other choices were tried on these calibration photos: {_said(before)}; "
                f"take one of them, or calibrate with new photos ({path} has the record)"
            )
        before.append(values)
        with atomic_write(path) as unfinished:
            unfinished.write_text(json.dumps(recorded | {fingerprint: before}, indent=2), encoding="utf-8")
    return Tries(len(asked), len(before))


def _read(path: Path) -> dict[str, list[list[float]]]:
    if not path.exists():
        return {}
    try:
        return {key: [[float(value) for value in values] for values in sets] for key, sets in read_json(path).items()}
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: is not a record of calibrations: {error}") from error


def _said(sets: Sequence[Sequence[float]]) -> str:
    return "; ".join(",".join(map(_value_said, values)) for values in sets)


def _value_said(value: float) -> str:
    return f"{value:g}" if value > 0 else f"--good-rejected {-value:g}"
