"""idx files, whole and broken."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.errors import ConfigError
from inspectd_tools.data.idx import read_idx


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def test_images_and_labels_come_back(tmp_path):
    rng = np.random.default_rng(0)
    for values in (rng.integers(0, 256, (5, 3, 4), np.uint8), rng.integers(0, 10, 7, np.uint8)):
        (tmp_path / "plain").write_bytes(idx(values))
        (tmp_path / "packed.gz").write_bytes(gzip.compress(idx(values)))
        np.testing.assert_array_equal(read_idx(tmp_path / "plain"), values)
        np.testing.assert_array_equal(read_idx(tmp_path / "packed.gz"), values)


@given(cut=st.integers(0, 75), noise=st.binary(min_size=1, max_size=4), at=st.integers(0, 15))
def test_a_damaged_file_is_refused_by_name(tmp_path_factory, cut, noise, at):
    path = tmp_path_factory.mktemp("idx") / "images"
    whole = idx(np.zeros((5, 3, 4), np.uint8))
    path.write_bytes(whole[:cut])
    with pytest.raises(ConfigError, match="images"):
        read_idx(path)
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    path.write_bytes(damaged)
    if damaged[:16] != whole[:16]:
        with pytest.raises(ConfigError, match="images"):
            read_idx(path)
