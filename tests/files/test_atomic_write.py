"""A file is the old one or the new one, whatever happens in between."""

import os
from pathlib import Path

import pytest

from inspectd.files.atomic_write import atomic_write


@pytest.mark.parametrize("flush", [False, True])
def test_the_new_file_takes_the_place_of_the_old_one_at_the_end(tmp_path, flush):
    path = tmp_path / "a.json"
    path.write_text("old")
    with atomic_write(path, flush=flush) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as unfinished:
        unfinished.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_links_and_folders_are_switched_too(tmp_path):
    (tmp_path / "link").symlink_to("old")
    with atomic_write(tmp_path / "link", flush=True) as unfinished:
        unfinished.symlink_to("nowhere")
    assert (tmp_path / "link").readlink().name == "nowhere"
    with atomic_write(tmp_path / "folder", flush=True) as unfinished:
        unfinished.mkdir()
    assert (tmp_path / "folder").is_dir()


def test_the_file_and_its_name_are_on_the_disk_before_it_says_so(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    with atomic_write(tmp_path / "a", flush=True) as unfinished:
        unfinished.write_text("new")
    assert flushed == [str(tmp_path / "a.tmp"), str(tmp_path)]
