"""`inspectd users`: add, change and remove users from the command line."""

import io
import os
from pathlib import Path

import pytest

from inspectd.cli import main
from inspectd.records.audit import AuditTrail
from inspectd.records.passwords import is_password
from inspectd.records.users import Failures, Role, Users

PASSWORD, NEW_PASSWORD = "correct horse battery", "a new long one"


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(*arguments: str, password: str = PASSWORD) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        return main(["users", *arguments, "--state", str(tmp_path)])

    return run


def test_a_user_from_the_first_day_to_the_last(users, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kept = Users(tmp_path)
    assert users("add", "root", "--role", "admin", "--password-stdin") == 0
    assert users("add", "anna", "--role", "viewer", "--password-stdin") == 0
    assert users("role", "anna", "--role", "operator") == 0
    assert users("password", "anna", "--password-stdin", password=NEW_PASSWORD) == 0
    anna = kept.find("anna")
    assert anna is not None
    assert anna.role == Role.OPERATOR
    assert is_password(NEW_PASSWORD, anna.password_hash)
    kept.set_failures(Failures(10, 0.0), "10.0.0.7", "anna")
    capfd.readouterr()
    assert users("list") == 0
    shown = capfd.readouterr().out
    assert "operator" in shown
    assert "locked at 10.0.0.7" in shown
    assert users("unlock", "anna") == 0
    assert kept.failures("10.0.0.7", "anna") == Failures()
    assert users("remove", "anna") == 0
    assert [account.name for account in kept.all()] == ["root"]
    trail = AuditTrail(tmp_path / "audit.sqlite").entries()
    assert [entry.action for entry in reversed(trail)] == [
        "user_added", "user_added", "user_changed", "user_changed", "user_unlocked", "user_removed",
    ]  # fmt: skip
    assert all(entry.who.endswith("(command line)") for entry in trail)
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert PASSWORD.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "password", "code", "said"),
    [
        (("remove", "root"), "", 1, "only admin"),
        (("role", "root", "--role", "viewer"), "", 1, "only admin"),
        (("remove", "nobody"), "", 1, "no such user"),
        (("add", "root", "--role", "viewer", "--password-stdin"), PASSWORD, 1, "exists already"),
        (("add", "ben", "--role", "viewer", "--password-stdin"), "short", 1, "12 to 200 characters"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    users,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    password: str,
    code: int,
    said: str,
) -> None:
    assert users("add", "root", "--role", "admin", "--password-stdin") == 0
    before = Users(tmp_path).all()
    assert users(*arguments, password=password) == code
    assert said in capfd.readouterr().err
    assert Users(tmp_path).all() == before


def test_a_missing_folder_is_named(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["users", "list", "--state", str(tmp_path / "nowhere")]) == 78
    assert f"{tmp_path / 'nowhere'} can't be used" in capfd.readouterr().err


def test_a_damaged_file_is_named(users, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "accounts.sqlite").write_bytes(b"not a database" * 100)
    assert users("list") == 74
    assert "accounts.sqlite: the page's users can't be read" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_root_makes_files_that_the_owner_of_the_folder_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    for each in (folder, tmp_path, *(each for each in tmp_path.parents if each.name.startswith(("pytest-", "popen-")))):
        each.chmod(0o755)
    os.chown(folder, 4242, 4242)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        code = main(["users", "unlock", "nobody", "--state", str(folder)])
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert {(file.stat().st_uid, file.stat().st_gid) for file in folder.iterdir()} == {(4242, 4242)}
