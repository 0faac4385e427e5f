"""The guard: does any place of the image look unlike good ones?

It has one or both of two parts. `aligned` compares every place with the same place of good images; `surface` knows what
faults look like, wherever they are.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspectd.guard import aligned
from inspectd.guard.aligned import Aligned
from inspectd.guard.judgement import Judgement
from inspectd.guard.placement import Region
from inspectd.guard.surface import KINDS as SURFACE_KINDS
from inspectd.guard.surface import Run, Surface
from inspectd.part import AnomalyKind, Image

FORMAT: Final = 2
"""Since 2, a guard of print measures its fading."""
_MAX_BYTES: Final = 1 << 28
_NETWORK: Final = "surface_network"

Compile = Callable[[bytes], Run]
"""From the network of a surface (ONNX) to what runs it. Raises ValueError if it is not such a network."""


class Guard:
    """Used from any number of threads."""

    def __init__(self, aligned: Aligned | None, surface: Surface | None) -> None:
        self.aligned = aligned
        self.surface = surface
        self.kinds: tuple[AnomalyKind, ...] = (
            *(aligned.kinds if aligned else ()),
            *(SURFACE_KINDS if surface else ()),
        )
        """Of its findings. A kind can occur twice."""
        self.size = aligned.size if aligned else None
        """Width and height of the images in px; None: any."""

    def judge(self, image: Image) -> Judgement:
        """(h, w) uint8 grey. Raises ValueError for another size or type."""
        judgement = self.aligned.judge(image) if self.aligned else Judgement((), (), None)
        if self.surface is None:
            return judgement
        findings, scores = self.surface.look(image)
        return replace(judgement, findings=(*judgement.findings, *findings), maps=(*judgement.maps, scores))

    def save(self, path: Path) -> None:
        """Plain arrays in one .npz."""
        arrays: dict[str, NDArray[Any]] = {"format": np.array(FORMAT)}
        if self.aligned is not None:
            arrays |= self.aligned.arrays()
        if self.surface is not None:
            arrays[_NETWORK] = np.frombuffer(self.surface.network, np.uint8)
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def fit(images: Sequence[Image], region: Region = "search") -> Guard:
    """`aligned` alone, from good images (h, w) uint8 grey of one size.

    If there is no print, the guard looks at the part alone. Raises ValueError: too few images.
    """
    return Guard(aligned.fit(images, region), None)


def load(data: bytes, compile_: Compile) -> Guard:
    """What `save` wrote. Raises ValueError for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > _MAX_BYTES:
            raise ValueError(f"its arrays take {unpacked} bytes; {_MAX_BYTES} are allowed")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = dict(file)
    except (ValueError, zipfile.BadZipFile, OSError, EOFError, AttributeError) as error:
        raise ValueError(f"not a guard's file: {error}") from error
    try:
        if not 1 <= int(arrays["format"]) <= FORMAT:
            raise ValueError(f"has format {arrays['format']}, this inspectd reads 1 to {FORMAT}")
        network = arrays.pop(_NETWORK, None)
        surface = None if network is None else Surface(network.tobytes(), compile_(network.tobytes()))
        alone = surface is not None and set(arrays) == {"format"}
        return Guard(None if alone else aligned.from_arrays(arrays), surface)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a guard's file: {error!r}") from error
