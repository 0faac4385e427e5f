"""The repository at the centre: what it refuses to sign, and that lines can read it at each moment."""

import shutil
from pathlib import Path

import pytest

from inspectd.fleet import metadata
from inspectd.fleet.assignments import Assignments
from inspectd.fleet.config import load_pull_config
from inspectd.fleet.download import Download
from tests.factories import edit_manifest
from tests.fleet.centre import LINE, Centre, Line


def test_a_line_that_reads_between_two_writes_sees_the_old_or_the_new_state(
    centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(tmp_path / "line", centre, f"file://{centre.repository}")
    config = load_pull_config(line.folder / "pull.yaml")
    seen = []
    write = metadata.write_whole

    def write_and_look(path: Path, data: bytes) -> None:
        write(path, data)
        shutil.rmtree(line.state, ignore_errors=True)
        line.state.mkdir()
        seen.append(Download(config).assigned(LINE).engine)

    monkeypatch.setattr(metadata, "write_whole", write_and_look)
    monkeypatch.setattr("inspectd.fleet.repository.write_whole", write_and_look)
    centre.assign(1)
    for role in ("targets", "timestamp", "root"):
        assert centre.repo("rotate", role, "--keys", centre.keys) == 0
    assert seen == sorted(seen)
    assert set(seen) == {"toy-1.0.0", "toy-1.1.0"}
    assert len(seen) > 10


@pytest.mark.parametrize("file", ["targets.json", "timestamp.json", "root.json"])
def test_what_somebody_has_altered_is_not_signed(centre: Centre, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    newest = max((centre.repository / "metadata").glob(f"*{file}"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes().replace(b'"version":', b'"other":0,"version":'))
    assert centre.repo("publish", centre.bundle(2), "--keys", centre.keys) == (0 if file == "root.json" else 1)
    if file != "root.json":
        assert "is not as it was signed" in capsys.readouterr().err
    assert centre.repo("show") == 1


def test_show_finds_a_file_that_was_altered(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    assert centre.repo("show") == 0
    model = next((centre.repository / "targets").rglob("*.model.onnx"))
    model.write_bytes(b"")
    assert centre.repo("show") == 1
    assert "model.onnx: is missing or altered" in "".join(capsys.readouterr().out.split("\n"))


def test_another_bundle_of_the_same_version_is_refused(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(centre.bundle(0))
    shutil.copytree(centre.bundle(1), centre.bundle(0))
    assert centre.repo("publish", centre.bundle(0), "--keys", centre.keys) == 0, "it is toy-1.1.0, which is published"
    edit_manifest(centre.bundle(0), lambda values: values.update(git_commit="1" * 40))
    assert centre.repo("publish", centre.bundle(0), "--keys", centre.keys) == 78
    assert "another bundle is published as toy-1.1.0" in capsys.readouterr().err


def test_keys_inside_of_what_the_web_server_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    centre = Centre(tmp_path)
    assert centre.repo("init", "--keys", centre.repository / "keys") == 78
    assert "shows to everybody" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_renewal_with_the_key_of_timestamp_only(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    for key in (*centre.keys.glob("root-*.pem"), *centre.keys.glob("targets-*.pem")):
        key.unlink()
    assert centre.repo("renew", "--keys", centre.keys) == 0
    assert centre.repo("assign", "toy-1.1.0", "--keys", centre.keys) == 78
    assert "the key of targets is missing, the file targets-" in capsys.readouterr().err


def test_assignments() -> None:
    before = Assignments().assign("engine", "a-1.0.0", ()).assign("engine", "b-1.0.0", ("line-1",))
    assert [before.of(line).engine for line in ("line-1", "line-2")] == ["b-1.0.0", "a-1.0.0"]
    with_reader = before.assign("reader", "r-1.0.0", ("line-1",))
    assert with_reader.assign("engine", "b-1.0.0", ()).lines.keys() == {"line-1"}, "its own reader stays"
    assert before.assign("engine", "b-1.0.0", ()).lines == {}
    assert before.follow(("line-1",)).of("line-1").engine == "a-1.0.0"
