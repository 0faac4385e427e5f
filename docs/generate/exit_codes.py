"""Reference of the exit codes, from the tree of errors."""

import inspect
from collections.abc import Iterator

from prose import code, prose, table

from inspectd.errors import InspectdError

_HEAD = """# Exit codes

The codes follow sysexits(3). systemd restarts the service after every end except code 78: with the same bad file the next
start would fail in the same way. [Troubleshooting](../line/troubleshooting.md#exit-codes) says what to do about each.

| code | meaning |
| --- | --- |
| `0` | Done. |
| `1` | The command ran, and its own answer is bad: `check` found a failure, `demo` saw a faulty label pass, the books of `report` do not balance, `engines list` found a bundle that is refused, `control status` found run permit off. A tool: the disk refused to read or write. |
| `2` | Wrong usage: an argument is missing or unknown. |
| `130` | Ended with Ctrl-C. |

## Errors

Errors that `inspectd` raises on purpose end in these codes.
"""


def page() -> str:
    rows = [(code(error.exit_code), prose(_first_paragraph(error))) for error in _errors()]
    return f"{_HEAD}\n{table(['code', 'meaning'], rows)}\n"


def _errors() -> Iterator[type[InspectdError]]:
    yield from sorted(InspectdError.__subclasses__(), key=lambda error: (error.exit_code, error.__name__))


def _first_paragraph(error: type[InspectdError]) -> str:
    return (inspect.getdoc(error) or "").split("\n\n")[0]
