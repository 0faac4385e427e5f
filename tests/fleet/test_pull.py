"""A line gets what is assigned to it, and nothing else; whatever goes wrong, it goes on with what it has."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from inspectd.cli import main
from inspectd.files.folder_lock import locked
from inspectd.files.yaml_file import read_yaml
from inspectd.fleet import metadata
from inspectd.fleet.bundles import full_name
from inspectd.inference import load_bundle
from inspectd.shipped import shipped
from inspectd.text.bundle import load_reader_bundle
from tests.factories import edit_manifest, make_toy_bundle
from tests.fleet.centre import Centre, Handler, Line, WebServer


def test_a_running_line_gets_the_assigned_engine(line: Line, centre: Centre) -> None:
    with line.running():
        assert line.pull() == 0
        assert (line.last["outcome"], line.reloads) == ("nothing_new", 0)
        centre.assign(1)
        assert line.pull() == 0
        assert (line.version, line.loaded, line.last["outcome"]) == ("1.1.0", "1.1.0", "activated")
        assert line.pull() == 0
        assert (line.last["outcome"], line.reloads) == ("nothing_new", 1)
        centre.assign(0)
        assert line.pull() == 0
        assert line.loaded == "1.0.0"


def test_one_line_first_then_all(line: Line, centre: Centre) -> None:
    centre.assign(1, "line-2")
    assert line.pull() == 0
    assert line.version == "1.0.0"
    centre.assign(1)
    assert line.pull() == 0
    assert line.version == "1.1.0"
    centre.assign(0)
    line.config["name"] = "line-2"
    line.write()
    assert line.pull() == 0
    assert line.version == "1.0.0", "line-2 has had no engine of its own since all lines had the same"


def test_a_line_that_is_not_running_loads_it_at_its_next_start(line: Line, centre: Centre) -> None:
    centre.assign(1)
    assert line.pull() == 0
    assert (line.version, line.last["outcome"]) == ("1.1.0", "activated")
    assert "not running" in line.last["said"]
    assert line.pull() == 0
    assert "not running" in line.last["said"]
    with line.running():
        assert line.pull() == 0
        assert (line.last["said"], line.reloads) == ("toy-1.1.0 is on the line", 0)


def test_a_line_that_was_starting_with_the_old_engine_is_asked_again(line: Line, centre: Centre) -> None:
    centre.assign(1)
    assert line.pull() == 0
    with line.running():
        line.loaded_hash = load_bundle(
            centre.bundle(0)
        ).hash  # the line answers with its version too, which may be the same
        assert line.pull() == 0
        assert (line.loaded, line.reloads) == ("1.1.0", 1)


def test_what_the_line_refuses_is_taken_back_and_not_tried_again(line: Line, centre: Centre) -> None:
    before = line.link.readlink()
    with line.running():
        centre.assign(1)
        line.refusal = "the images have another size"
        for asked in (1, 1):
            assert line.pull() == 1
            assert (line.link.readlink(), line.reloads) == (before, asked)
            assert line.last["outcome"] == "refused"
            assert "the images have another size" in line.last["said"]
            assert not os.path.lexists(line.link.with_name("toy.previous"))
        line.refusal = ""
        assert line.pull("--again") == 0
        assert line.loaded == "1.1.0"


def test_a_refusal_for_now_is_waited_for(line: Line, centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fleet.centre.GOES_ON", "a reload is running: ")
    monkeypatch.setattr("inspectd.commands.engines.pull.switching._AGAIN_S", 0.01)
    monkeypatch.setattr("inspectd.commands.engines.pull.switching._REFUSED_FOR_NOW_S", 0.1)
    before = line.link.readlink()
    with line.running():
        centre.assign(1)
        line.refusal = "ask again"
        assert line.pull() == 75
        assert line.reloads > 2
        assert line.link.readlink() == before
        line.refusal = ""
        assert line.pull() == 0


def test_what_somebody_has_switched_by_hand_stays(line: Line, centre: Centre) -> None:
    with line.running():
        centre.assign(1)
        assert line.pull() == 0
        line.link.unlink()
        line.link.symlink_to(centre.bundle(0))
        assert line.pull() == 0
        assert (line.last["outcome"], line.version) == ("left_alone", "1.0.0")
        assert line.pull("--again") == 0
        assert line.version == "1.1.0"


@pytest.mark.slow
def test_a_reader_is_put_on_the_line_and_an_engine_that_was_switched_by_hand_stays(
    line: Line, centre: Centre, tmp_path: Path
) -> None:
    engine, reader = shipped("engines/filter-label"), shipped("engines/filter-label-reader")
    text = read_yaml(shipped("config/demo.yaml"), "'text'")["text"]
    for bundle in (engine, reader):
        assert centre.repo("publish", bundle, "--keys", centre.keys) == 0
    line.link.unlink()
    line.link.symlink_to(shutil.copytree(engine, tmp_path / "by-hand"))
    reader_link = line.folder / "links" / "reader"
    reader_link.symlink_to(shutil.copytree(reader, tmp_path / "first-reader"))
    line.config["text"] = text | {"reader": "links/reader"}
    line.write()
    name = full_name(load_bundle(engine))
    assert centre.repo("assign", name, "--keys", centre.keys) == 0
    edit_manifest(tmp_path / "by-hand", lambda values: values.update(version="9.0.0"))
    with line.running():
        assert line.pull() == 0
        assert line.version == name.rpartition("-")[2]
        line.link.unlink()
        line.link.symlink_to(tmp_path / "by-hand")
        (tmp_path / "first-reader" / "reader.yaml").write_bytes(b"")
        assert centre.repo("assign", full_name(load_reader_bundle(reader)), "--keys", centre.keys) == 0
        assert line.pull() == 0
        assert (line.last["outcome"], line.version) == ("activated", "9.0.0")
        assert load_reader_bundle(reader_link).folder == (line.state / "engines" / reader_link.resolve().name).resolve()
        assert line.pull() == 0
        assert (line.last["outcome"], line.version) == ("left_alone", "9.0.0")
        assert line.pull("--again") == 0
        assert line.version == name.rpartition("-")[2]


def test_without_activate_a_bundle_is_only_fetched(line: Line, centre: Centre) -> None:
    centre.assign(1)
    line.pull_config["activate"] = False
    line.write()
    assert line.pull() == 0
    assert (line.version, line.last["outcome"]) == ("1.0.0", "fetched")
    assert (line.state / "engines" / "toy-1.1.0" / "engine.yaml").exists()


def test_a_line_that_nothing_is_assigned_to(line: Line, centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    assert centre.repo("init", "--keys", centre.folder / "other-keys") == 78
    shutil.rmtree(centre.repository)
    shutil.rmtree(centre.keys)
    assert centre.repo("init", "--keys", centre.keys) == 0
    assert line.pull() == 1
    assert "assigns nothing to a line of the name line-1" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["wrong score", "no signature", "learned from another", "nothing that finds the texts"])
def test_a_bundle_that_the_line_could_not_load(line: Line, centre: Centre, tmp_path: Path, how: str) -> None:
    bundle = make_toy_bundle(tmp_path / "bad", version="2.0.0", backends=["onnxruntime"])
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    match how:
        case "wrong score":
            edit_manifest(bundle, lambda values: values["golden"][0].update(scores=[0.5] * 4))
        case "no signature":
            assert engines("keygen", private, public) == 0
            line.config["inference"] = {"signed_by": str(public)}
        case "learned from another":
            learned = {"engine": "1.1.0", "engine_hash": load_bundle(centre.bundle(1)).hash}
            edit_manifest(bundle, lambda values: values["training"].update(learned=learned))
        case _:
            line.config["text"] = _TEXT
    line.write()
    assert centre.repo("publish", bundle, "--keys", centre.keys) == 0
    assert centre.repo("assign", "toy-2.0.0", "--keys", centre.keys) == 0
    with line.running():
        assert line.pull() == 1
        assert (line.version, line.reloads, line.last["outcome"]) == ("1.0.0", 0, "refused")
        if how == "no signature":
            assert "is not signed" in line.last["said"]
            assert engines("sign", bundle, "--key", private) == 0
            assert centre.repo("publish", bundle, "--keys", centre.keys) == 0
            assert line.pull() == 0
            assert line.loaded == "2.0.0"
        if how == "learned from another":
            assert "is proven not worse than 1.1.0" in line.last["said"]


_CODE = {
    "kind": "code",
    "symbology": "data_matrix",
    "box": [0, 0, 40, 40],
    "expect": {"from": "constant", "value": "123456"},
}
_TEXT = {"fields": {"lot": _CODE}}


def engines(*arguments: object) -> int:
    return main(["engines", *map(str, arguments)])


def altered_file(handler: Handler) -> bool:
    """The model with one other byte, or an assignment of another engine."""
    if "model.onnx" not in handler.path:
        return False
    data = bytearray((handler.server.folder / handler.path.lstrip("/")).read_bytes())
    data[50] ^= 1
    return send(handler, bytes(data))


def altered_metadata(handler: Handler) -> bool:
    if "targets.json" not in handler.path:
        return False
    data = (handler.server.folder / handler.path.lstrip("/")).read_bytes()
    return send(handler, data.replace(b"toy-1.1.0", b"toy-1.0.0"))


def not_metadata(handler: Handler) -> bool:
    return send(handler, b"<html>Log in first</html>")


def endless_metadata(handler: Handler) -> bool:
    return endless(handler) if "timestamp" in handler.path else False


def endless_file(handler: Handler) -> bool:
    return endless(handler) if "model.onnx" in handler.path else False


def endless(handler: Handler) -> bool:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        try:
            handler.wfile.write(b" " * 100_000)
        except OSError:
            break
    return True


def short_file(handler: Handler) -> bool:
    """It says how long it is, and ends before."""
    if "model.onnx" not in handler.path:
        return False
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.write(b"onnx")
    return True


def redirect(handler: Handler) -> bool:
    handler.send_response(302)
    handler.send_header("Location", f"{handler.server.url}/elsewhere")
    handler.end_headers()
    return True


def broken(handler: Handler) -> bool:
    handler.send_error(500)
    return True


def drip(handler: Handler) -> bool:
    """One byte now and then, so that no single wait is long."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        try:
            handler.wfile.write(b" ")
            time.sleep(0.05)
        except OSError:
            break
    return True


def drip_headers(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    return drip(handler)


def compressed_bomb(handler: Handler) -> bool:
    """It is not unpacked."""
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(b"\x1f\x8b" + b"x" * 1000)
    return True


def send(handler: Handler, data: bytes) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
    return True


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (altered_file, 1, "is not as it was signed"),
        (altered_metadata, 1, "is not as it was signed"),
        (not_metadata, 1, "is not signed as it must be"),
        (endless_metadata, 1, "exceeding the maximum allowed length"),
        (endless_file, 1, "exceeding the maximum allowed length"),
        (compressed_bomb, 1, "is not signed as it must be"),
        (short_file, 75, "Connection broken"),
        (redirect, 75, "HTTP status 302"),
        (broken, 75, "HTTP status 500"),
        (drip, 75, "within_minutes"),
        (drip_headers, 75, "within_minutes"),
    ],
)
def test_a_web_server_that_lies(
    line: Line, centre: Centre, server: WebServer, answer: Callable[[Handler], bool], code: int, words: str
) -> None:
    centre.assign(1)
    server.answer = answer
    if "drip" in answer.__name__:
        line.pull_config["within_minutes"] = 0.005
        line.write()
    with line.running():
        assert line.pull() == code
        assert words in line.last["said"]
        assert (line.version, line.loaded, line.reloads) == ("1.0.0", "1.0.0", 0)
        assert line.last["outcome"] == ("refused" if code == 1 else "not_reachable")
        server.answer = lambda handler: False
        line.pull_config.pop("within_minutes", None)
        line.write()
        assert line.pull() == 0
        assert line.loaded == "1.1.0"


def test_old_metadata_is_not_believed(line: Line, centre: Centre, server: WebServer, tmp_path: Path) -> None:
    old = shutil.copytree(centre.repository, tmp_path / "old")
    centre.assign(1)
    assert line.pull() == 0
    server.folder = old
    assert line.pull() == 1
    assert "older than it was" in line.last["said"]
    assert line.version == "1.1.0"


def test_an_expired_repository(line: Line, centre: Centre, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert line.pull() == 0
    good = line.last["good_utc"]
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "datetime", _FifteenDaysAgo)
        centre.assign(1)
    assert centre.repo("show") == 1
    assert line.pull() == 1
    assert "has expired" in line.last["said"]
    assert (line.version, line.last["good_utc"]) == ("1.0.0", good)
    assert centre.repo("renew", "--keys", centre.keys) == 0
    assert line.pull() == 0
    assert line.version == "1.1.0"


class _FifteenDaysAgo(datetime):
    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) - timedelta(days=15)


def test_a_repository_that_is_away(line: Line, centre: Centre, server: WebServer) -> None:
    assert line.pull() == 0
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        line.pull_config["url"] = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        line.write()
        assert line.pull() == 75
    assert line.last["outcome"] == "not_reachable"
    assert line.last["assigned"] is None
    assert line.last["reached_utc"] == line.last["good_utc"]


@pytest.mark.parametrize("key", ["targets", "timestamp", "root"])
def test_keys_of_somebody_else_sign_nothing(
    line: Line, centre: Centre, server: WebServer, tmp_path: Path, key: str
) -> None:
    """Somebody who has one key, but not the others, can't give the line another engine."""
    assert line.pull() == 0
    thief = Centre(tmp_path / "thief")
    thief.folder.mkdir()
    assert thief.repo("init", "--keys", thief.keys) == 0
    assert thief.repo("publish", centre.bundle(2), "--keys", thief.keys) == 0
    assert thief.repo("assign", "toy-1.2.0", "--keys", thief.keys) == 0
    for _ in range(5):
        assert thief.repo("renew", "--keys", thief.keys) == 0
    if key == "root":
        shutil.copy(thief.repository / "metadata/1.root.json", thief.repository / "metadata/2.root.json")
    server.folder = thief.repository
    assert line.pull() == 1
    assert line.version == "1.0.0"


def test_a_stolen_key_is_replaced(line: Line, centre: Centre, server: WebServer, tmp_path: Path) -> None:
    stolen = shutil.copytree(centre.keys, tmp_path / "stolen")
    for root in stolen.glob("root-*.pem"):
        root.unlink()
    assert line.pull() == 0
    for role in ("targets", "timestamp", "root"):
        assert centre.repo("rotate", role, "--keys", centre.keys) == 0
        assert line.pull() == 0, role
    thief = Centre(tmp_path / "thief")
    shutil.copytree(centre.repository, thief.repository)
    assert thief.repo("assign", "toy-1.1.0", "--keys", stolen) == 78
    centre.assign(1)
    assert line.pull() == 0
    assert line.version == "1.1.0"


def test_a_bundle_with_a_path_outside_of_it(line: Line, centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the holder of the key of targets could do that."""
    for name in ("../outside", "/outside", "a/../../outside", "."):
        monkeypatch.setattr("inspectd.fleet.repository._files", lambda folder, name=name: ["engine.yaml", name])
        monkeypatch.setattr("pathlib.Path.read_bytes", _read_or_nothing)
        shutil.rmtree(centre.bundle(2))
        make_toy_bundle(centre.bundle(2), version="1.2.0", backends=["onnxruntime"])
        centre.publish(2)
        centre.assign(2)
        assert line.pull() == 1
        assert "its list of files can't be used" in line.last["said"]
        assert not list(line.folder.rglob("outside"))


def _read_or_nothing(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read()
    except IsADirectoryError:
        return b""
    except FileNotFoundError:
        if path.name != "outside":
            raise
        return b""


def test_a_full_disk(line: Line, centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    centre.assign(1)
    with monkeypatch.context() as patched:
        patched.setattr("inspectd.fleet.download._SPARE_BYTES", 1 << 62)
        assert line.pull() == 78
    assert "must stay free for the line" in line.last["said"]
    assert line.version == "1.0.0"
    with monkeypatch.context() as patched:
        patched.setattr("tuf.ngclient.updater.shutil", SimpleNamespace(copyfileobj=_no_space))
        assert line.pull() == 74
    assert "No space left" in line.last["said"]
    assert list((line.state / "engines").iterdir()) == []
    assert line.pull() == 0


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_only_one_pull_at_a_time(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    assert line.pull() == 0
    with locked(line.state):
        assert line.pull() == 75
    assert "another process works in this folder" in capsys.readouterr().err


def test_a_damaged_bundle_is_fetched_again(line: Line, centre: Centre) -> None:
    centre.assign(1)
    assert line.pull() == 0
    model = line.state / "engines" / "toy-1.1.0" / "model.onnx"
    model.write_bytes(b"")
    (model.parent / "golden" / "no_fail.png").unlink()
    assert line.pull() == 0
    assert line.version == "1.1.0"


def test_old_bundles_are_deleted_but_not_those_in_use(line: Line, centre: Centre) -> None:
    line.pull_config["keep"] = 1
    line.write()
    centre.publish(2)
    for minor in (0, 1, 2):
        centre.assign(minor)
        assert line.pull("--again") == 0
    for number in range(3):
        (line.state / "engines" / f"other-{number}.0.0").mkdir()
        (line.state / "engines" / ".waste").mkdir(exist_ok=True)
        os.utime(line.state / "engines" / f"other-{number}.0.0", (number, number))
    assert line.pull() == 0
    left = sorted(path.name for path in (line.state / "engines").iterdir())
    assert left == ["toy-1.0.0", "toy-1.1.0", "toy-1.2.0"]


def test_a_link_that_this_user_may_not_switch(line: Line, centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert line.pull() == 78
    assert "may not switch the links" in line.last["said"]


def test_the_engine_is_not_a_link(line: Line, centre: Centre) -> None:
    line.link.unlink()
    shutil.copytree(centre.bundle(0), line.link)
    centre.assign(1)
    assert line.pull() == 78
    assert "is not a symbolic link" in line.last["said"]


def test_a_mounted_folder(line: Line, centre: Centre) -> None:
    centre.assign(1)
    line.pull_config["url"] = f"file://{centre.repository}"
    line.write()
    assert line.pull() == 0
    assert line.version == "1.1.0"
    line.pull_config["url"] = f"file://{centre.folder}/nowhere"
    line.write()
    assert line.pull() == 75


def test_the_result_as_json(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    assert line.pull("--json") == 0
    assert json.loads(capsys.readouterr().out) == line.last


@pytest.mark.parametrize(
    ("key", "value"), [("url", "ftp://x"), ("url", "http://user:password@x"), ("keep", 0), ("trusted_root", "nowhere")]
)
def test_a_wrong_config(line: Line, key: str, value: object, capsys: pytest.CaptureFixture[str]) -> None:
    line.pull_config[key] = value
    line.write()
    assert line.pull() == 78
    assert key in capsys.readouterr().err or "nowhere" in line.last["said"]


def test_a_root_that_is_none(line: Line, tmp_path: Path) -> None:
    (tmp_path / "root.json").write_text("{}")
    line.pull_config["trusted_root"] = str(tmp_path / "root.json")
    line.write()
    assert line.pull() == 78
    assert "is not the root of a repository" in line.last["said"]


def test_what_a_file_manager_has_left_stops_no_pull(line: Line, centre: Centre) -> None:
    assert line.pull() == 0
    (line.state / "engines" / ".DS_Store").touch()
    (line.state / "engines" / ".link").symlink_to(centre.repository)
    centre.assign(1)
    assert line.pull() == 0
    assert (line.version, line.last["outcome"]) == ("1.1.0", "activated")
    assert not list((line.state / "engines").glob(".*"))
    assert (centre.repository / "metadata").exists()


def test_another_user_leaves_no_files_in_the_state(
    line: Line, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line.state.mkdir()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert line.pull() == 78
    assert "belongs to another user" in capsys.readouterr().err
    assert not list(line.state.iterdir())
