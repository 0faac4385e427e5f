"""What `make mutants` found: figures of each module, and the survivors that docs/development/mutants.md does not explain.

Started in the folder of `mutmut run`, with that list as argument. Exit code 1 if a survivor is not explained, or if a
mutant that is explained does not survive any more. A module is left out whose mutants have not all been tried.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

_SURVIVED = {0, 5, 33}  # pytest's and mutmut's exit codes for "all passed" and "no test runs this"
_SECTION = re.compile(r"^## (\S+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_DIFF = re.compile(r"```diff\n(.*?)```", re.DOTALL)
_CHANGE = re.compile(r"^([-+])(?![-+]) *(.*)$", re.MULTILINE)


def main(explanations: Path) -> int:
    explained = {
        module: Counter(map(_change, _DIFF.findall(text)))
        for module, text in _SECTION.findall(explanations.read_text())
    }
    wrong = []
    print(f"{'module':40} mutants  killed  equal  left  killed of those not equal")
    for meta in sorted(Path("mutants").rglob("*.py.meta")):
        codes = json.loads(meta.read_text())["exit_code_by_key"]
        if not codes or None in codes.values():
            continue
        module = str(meta.relative_to("mutants").with_suffix(""))
        equal = explained.get(module, Counter())
        survivors = Counter(_change(_diff(name)) for name, code in codes.items() if code in _SURVIVED)
        left, gone = survivors - equal, equal - survivors
        killed = len(codes) - survivors.total()
        share = killed / (killed + left.total())
        print(
            f"{module:40} {len(codes):7} {killed:7} {len(codes) - killed - left.total():6} {left.total():5}  {share:.1%}"
        )
        wrong += [f"{module}: survives\n{change}" for change in left]
        wrong += [f"{module}: is explained in {explanations.name}, but does not survive\n{change}" for change in gone]
    print("", *wrong, sep="\n")
    return 1 if wrong else 0


def _diff(mutant: str) -> str:
    return subprocess.run(["mutmut", "show", mutant], check=True, capture_output=True, text=True).stdout


def _change(diff: str) -> str:
    """The lines taken out and put in, without their indentation."""
    return "\n".join(f"{sign} {line}" for sign, line in _CHANGE.findall(diff))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
