"""Photos as the features that a network gives them. The bundle keeps those that it learned from and was calibrated with."""

import io
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

FILE: Final = "learning.npz"
_MAX_BYTES: Final = 1 << 29
_ROUNDING: Final = 1 / 32
"""Of the spread of a feature."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One row per photo."""

    names: tuple[str, ...]
    """Of the labels: the classes, then the kinds of unknowns."""
    features: NDArray[np.float32]
    """(N, features). The file rounds each: see `packed`."""
    labels: NDArray[np.int64]
    """(N,): index into `names`"""
    parts: NDArray[np.int64]
    """(N,): the number of the part that each photo shows."""
    fits: NDArray[np.bool_]
    """(N,): the head was fitted to it."""
    calibrates: NDArray[np.bool_]
    """(N,): it chose the threshold."""
    guard: NDArray[np.float32]
    """(N, kinds) the scores by the guard; NaN: not known, so the guard is not relied on. No columns: there is no guard."""
    digests: tuple[str, ...]
    """SHA-256 of each file."""

    def __len__(self) -> int:
        return len(self.labels)

    def stopped(self, limits: Sequence[float]) -> NDArray[np.bool_]:
        """(N,): whether a guard with these limits, one per kind, stops each."""
        stops: NDArray[np.bool_] = np.logical_or.reduce(self.guard > np.array(limits, np.float32), axis=1)
        return stops

    @property
    def truths(self) -> NDArray[np.str_]:
        """(N,): the name of each label."""
        return np.array(self.names, np.str_)[self.labels]

    def take(self, places: NDArray[np.integer] | NDArray[np.bool_]) -> "Rows":
        """`places`: indices, or which ones."""
        chosen = np.arange(len(self))[places]
        own = {
            field.name: getattr(self, field.name)[chosen]
            for field in fields(self)
            if field.name not in ("names", "digests")
        }
        return Rows(names=self.names, digests=tuple(self.digests[place] for place in chosen), **own)

    def joined(self, other: "Rows") -> "Rows":
        """These photos, then the others, whose parts are other parts."""
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        renamed = np.array([names.index(name) for name in other.names], np.int64)[other.labels]
        return Rows(
            names,
            np.concatenate([self.features, other.features]),
            np.concatenate([self.labels, renamed]),
            np.concatenate([self.parts, other.parts + self.parts.max(initial=-1) + 1]),
            np.concatenate([self.fits, other.fits]),
            np.concatenate([self.calibrates, other.calibrates]),
            np.concatenate([self.guard, other.guard]),
            self.digests + other.digests,
        )

    def packed(self) -> bytes:
        """What `unpacked` reads: plain arrays in one .npz.

        Features are rounded to multiples of a power of two, about 1/32 of the spread of a feature, so a photo takes about 1 KB.
        """
        packed = io.BytesIO()
        spread = float(self.features.std(axis=0).mean()) if len(self) else 0.0
        step = 2.0 ** round(math.log2((spread or 1.0) * _ROUNDING))
        np.savez_compressed(
            packed,
            names=np.array(self.names, np.str_),
            step=np.float32(step),
            features=_planes(np.rint(self.features / step)),
            digests=np.array(self.digests, "S64"),
            labels=self.labels,
            parts=self.parts,
            fits=self.fits,
            calibrates=self.calibrates,
            guard=self.guard,
        )
        return packed.getvalue()


def unpacked(data: bytes) -> Rows:
    """Raises ValueError for anything that `Rows.packed` does not give."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
                raise ValueError(f"its arrays take more than the {_MAX_BYTES} bytes allowed")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = dict(file)
        rows = Rows(
            names=tuple(map(str, arrays["names"])),
            features=_from_planes(arrays["features"]) * arrays["step"].astype(np.float32),
            labels=arrays["labels"].astype(np.int64),
            parts=arrays["parts"].astype(np.int64),
            fits=arrays["fits"].astype(bool),
            calibrates=arrays["calibrates"].astype(bool),
            guard=arrays["guard"].astype(np.float32),
            digests=tuple(digest.decode() for digest in arrays["digests"].tolist()),
        )
    except (KeyError, TypeError, AttributeError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise ValueError(f"not a file of rows: {error!r}") from error
    columns = (rows.labels, rows.parts, rows.fits, rows.calibrates)
    if (
        rows.features.ndim != 2
        or rows.guard.ndim != 2
        or len(rows.guard) != len(rows)
        or any(column.shape != (len(rows.features),) for column in columns)
    ):
        raise ValueError("its arrays do not have one row per photo")
    if len(rows.digests) != len(rows) or not np.isin(rows.labels, range(len(rows.names))).all():
        raise ValueError("its labels or hashes do not fit its photos")
    if not np.isfinite(rows.features).all():
        raise ValueError("some of its features are not finite numbers")
    return rows


def _planes(whole: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Whole numbers (N, features) -> (4, features, N): the lowest byte of all, then the next. So they compress well."""
    return np.moveaxis(np.ascontiguousarray(whole.T).astype("<i4")[..., None].view(np.uint8), 2, 0)


def _from_planes(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Raises ValueError if these are not planes."""
    return np.ascontiguousarray(np.moveaxis(planes.astype(np.uint8), 0, 2)).view("<i4")[..., 0].T.astype(np.float32)
