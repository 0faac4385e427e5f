"""A folder of synthetic images: written by several processes, with a table that says what each image is."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Job = TypeVar("Job")
Order = TypeVar("Order")


def write_dataset(
    pool: Pool,
    make: Callable[[Job], Mapping[str, object]],
    jobs: Iterable[Job],
    orders: Sequence[Order],
    table: Path,
    columns: Sequence[str],
) -> Iterator[Order]:
    """Run `make` on every job, yielding each order when its images are written. The `table` is written last.

    `make` writes the images of one job and returns its row of the table. Raises OSError if a file cannot be written.
    """
    rows = []
    for order, row in zip(orders, pool.imap(make, jobs, chunksize=8), strict=True):
        rows.append(row)
        yield order
    write_table(table, columns, rows)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a CSV file. Raises OSError."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def write_image(path: Path, image: NDArray[np.uint8], *png_settings: int) -> None:
    """Write (h, w) grey or (h, w, 3) BGR. `png_settings`: pairs of `cv2.IMWRITE_PNG_...` and value. Raises OSError."""
    if not cv2.imwrite(str(path), image, png_settings):
        raise OSError(f"{path}: cannot be written")
