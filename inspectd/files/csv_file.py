"""CSV tables as spreadsheets save them: commas, semicolons or tabs, any line ends, with or without a byte order mark."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspectd.errors import ConfigError
from inspectd.files.text_file import one_line, read_text, shown

_MAX_BYTES = 1 << 28
_SEPARATORS = ",;\t"


@dataclass(frozen=True, slots=True)
class CsvRow:
    line: int
    """Number of the line in the file, from 1. For a row over several lines, its last line."""
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


def read_csv(path: Path, columns: Sequence[str]) -> list[CsvRow]:
    """The rows of a file that has at least these columns, without empty rows.

    Raises ConfigError naming file, line, and what is allowed.
    """
    text = read_text(path, _MAX_BYTES)
    first, _, rest = text.partition("\n")
    if first.startswith("sep=") and len(first.rstrip("\r")) == 5:  # some spreadsheets want it so
        text, skipped = rest, 1
    else:
        skipped = 0
    header = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=header.count), strict=True)
    try:
        names = next(reader, [])
        _check_names(path, names, columns)
        rows = []
        for cells in reader:
            line = reader.line_num + skipped
            if not any(cells):
                continue
            if len(cells) != len(names):
                raise ConfigError(f"{path}: line {line}: has {len(cells)} cells, but the first line has {len(names)}")
            rows.append(CsvRow(line, dict(zip(names, cells, strict=True))))
    except csv.Error as error:
        raise ConfigError(
            f"{path}: is not valid CSV: line {reader.line_num + skipped}: {one_line(str(error))}"
        ) from error
    return rows


def _check_names(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in names]
    if missing:
        raise ConfigError(
            f"{path}: must have the columns {', '.join(columns)}; {', '.join(missing)} missing; it has {shown(names)}"
        )
    twice = [name for name in columns if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{path}: has the column {', '.join(twice)} twice")


def is_csv(path: Path) -> bool:
    """Whether the name of a file ends in .csv, in small or capital letters."""
    return path.suffix.lower() == ".csv"
