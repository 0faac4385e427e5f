"""Images in idx files, the format of MNIST and its descendants (LeCun, "The MNIST database", 1998)."""

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import ConfigError

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> NDArray[np.uint8]:
    """(N, rows, columns) images or (N,) labels from a file, which is gzipped if its name ends in .gz. Raises ConfigError."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE or data[3] not in (1, 3):
        raise ConfigError(f"{path}: is not an idx file of bytes with 1 or 3 dimensions")
    begin = 4 + 4 * data[3]
    if len(data) < begin:
        raise ConfigError(f"{path}: is cut off: its header is not complete")
    shape = struct.unpack(f">{data[3]}I", data[4:begin])
    if len(data) - begin != int(np.prod(shape)):
        raise ConfigError(f"{path}: must hold {' x '.join(map(str, shape))} bytes, holds {len(data) - begin}")
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)
