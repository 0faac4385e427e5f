"""Photos that show the same part."""

import numpy as np

from inspectd_tools.deploy.parts import parts_of


def test_photos_of_a_group_and_equal_files_show_one_part():
    groups = ["a", "a", "b", "c", "d", "e"]
    digests = ["1", "2", "2", "3", "4", "3"]
    assert same(parts_of(groups, digests)) == [{0, 1, 2}, {3, 5}, {4}]


def test_a_group_may_be_called_like_a_file():
    assert same(parts_of(["1", "2"], ["2", "1"])) == [{0}, {1}]
    assert same(parts_of(["1", "2", "3"], ["1", "2", "3"])) == [{0}, {1}, {2}]


def same(parts):
    return [set(np.flatnonzero(parts == part).tolist()) for part in dict.fromkeys(parts.tolist())]
