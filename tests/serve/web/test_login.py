"""Log in and out: cookies, sessions that end, waits, and the lock."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from inspectd.errors import AccountError
from inspectd.records.audit import AuditTrail
from inspectd.records.passwords import hash_password
from inspectd.records.users import LOCKED_AFTER, Role
from inspectd.serve.web.access.accounts import Accounts, LoginRefusedError
from inspectd.serve.web.access.roles import User
from inspectd.serve.web.app import make_app
from tests.serve.web.conftest import PASSWORD, Plant, login_fields

Client = Callable[[Role | None], TestClient]
NOON = 1_800_000_000.0
OTHER = "a new long one 2"
HASH = hash_password("anna", PASSWORD)
NEW_HASH = hash_password("anna", PASSWORD)


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    accounts = Accounts(tmp_path, AuditTrail(tmp_path / "audit.sqlite"), idle_s=600, longest_s=3600)
    accounts.users.add("root", Role.ADMIN, HASH)
    accounts.users.add("anna", Role.OPERATOR, HASH)
    return accounts


def login(
    accounts: Accounts, name: str = "anna", password: str = PASSWORD, *, at_s: float = 0, address: str = "::1"
) -> str:
    return accounts.login(name, password, address, now_utc_s=NOON + at_s, now_s=at_s)


def fail(accounts: Accounts, name: str = "anna", *, at_s: float = 0, address: str = "::1") -> str:
    with pytest.raises(LoginRefusedError) as refusal:
        login(accounts, name, "wrong", at_s=at_s, address=address)
    return str(refusal.value)


def test_a_session_ends_after_its_last_use_and_after_its_begin(accounts: Accounts) -> None:
    token = login(accounts)
    assert accounts.user(token, now_s=599) == User("anna", Role.OPERATOR)
    assert accounts.user(token, now_s=1100, is_use=False) is not None
    assert accounts.user(token, now_s=1199.5, is_use=False) is None, "looking is not using"
    token = login(accounts)
    for now_s in range(500, 3600, 500):
        assert accounts.user(token, now_s=now_s) is not None
    assert accounts.user(token, now_s=3600) is None


@pytest.mark.parametrize("change", ["password", "role", "removed", "logout"])
def test_a_session_ends_when_its_user_changes(accounts: Accounts, change: str) -> None:
    token = login(accounts)
    assert accounts.user(token, now_s=1) is not None
    {
        "password": lambda: accounts.users.set_password("anna", NEW_HASH),
        "role": lambda: accounts.users.set_role("anna", Role.VIEWER),
        "removed": lambda: accounts.users.remove("anna"),
        "logout": lambda: accounts.logout(token),
    }[change]()
    assert accounts.user(token, now_s=2) is None


def test_each_failure_doubles_the_wait_and_ten_lock_the_name(accounts: Accounts) -> None:
    said, at_s, waits = [], 0.0, []
    for _ in range(LOCKED_AFTER):
        begin_s = at_s
        while "Try again in" in (sentence := fail(accounts, at_s=at_s)):
            at_s += 1
        said.append(sentence)
        waits.append(at_s - begin_s)
    assert set(said) == {"Name or password is wrong."}
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 64]
    at_s += 10_000
    assert "unlock" in fail(accounts, at_s=at_s)
    with pytest.raises(LoginRefusedError, match="unlock"):
        login(accounts, at_s=at_s)
    assert accounts.users.locked_at("anna") == ["::1"]
    accounts.users.unlock("anna")
    assert login(accounts, at_s=at_s)


def test_who_types_a_name_ten_times_locks_it_only_there(accounts: Accounts) -> None:
    """Otherwise anybody in the plant could lock the only admin out."""
    for attempt in range(LOCKED_AFTER + 1):
        said = fail(accounts, "root", at_s=1000 * attempt, address="10.0.0.66")
    assert "unlock" in said
    assert login(accounts, "root", at_s=11_000, address="10.0.0.7")
    assert "unlock" in fail(accounts, "root", at_s=12_000, address="10.0.0.66"), (
        "the login elsewhere unlocks nothing here"
    )


def test_a_name_is_locked_everywhere_but_on_the_lines_computer_after_many_failures(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("records.users", "serve.web.access.accounts"):
        monkeypatch.setattr(f"inspectd.{module}.LOCKED_EVERYWHERE_AFTER", 3 * LOCKED_AFTER)
    at_s = 0
    for address in range(3):
        for _ in range(LOCKED_AFTER):
            at_s += 1000
            assert fail(accounts, at_s=at_s, address=f"10.0.0.{address}") == "Name or password is wrong."
    assert "unlock" in fail(accounts, at_s=at_s, address="10.0.1.1")
    assert accounts.users.locked_at("anna") == ["every address"]
    assert login(accounts, at_s=at_s, address="127.0.0.1")
    actions = [entry.action for entry in AuditTrail(accounts.users.path.with_name("audit.sqlite")).entries(limit=5)]
    assert "locked_out" in actions
    accounts.users.unlock("anna")
    assert login(accounts, at_s=at_s, address="10.0.1.1")


@pytest.mark.parametrize(
    ("first", "second"),
    [("2001:db8::1", "2001:db8::ffff:2"), ("10.0.0.7", "::ffff:10.0.0.7"), ("fe80::1%eth0", "fe80::2")],
)
def test_one_computer_has_one_count_for_all_its_addresses(accounts: Accounts, first: str, second: str) -> None:
    for attempt in range(LOCKED_AFTER):
        fail(accounts, at_s=1000 * attempt, address=(first, second)[attempt % 2])
    assert "unlock" in fail(accounts, at_s=50_000, address=second)
    assert login(accounts, at_s=50_000, address="2001:db8:0:1::1")


def test_a_new_password_ends_the_other_sessions(accounts: Accounts) -> None:
    at = {"now_utc_s": NOON, "now_s": 1.0}
    elsewhere, root = login(accounts), login(accounts, "root")
    new = accounts.change_password("anna", PASSWORD, OTHER, "::1", **at)
    assert accounts.user(elsewhere, now_s=2) is None
    assert accounts.user(root, now_s=2) is not None
    assert accounts.user(new, now_s=2) == User("anna", Role.OPERATOR)
    assert fail(accounts) == "Name or password is wrong."
    assert login(accounts, password=OTHER)


def test_a_wrong_old_password_counts_as_a_failed_login(accounts: Accounts) -> None:
    """Otherwise a browser that was left open would be a way to guess the password."""
    for attempt in range(LOCKED_AFTER):
        with pytest.raises(LoginRefusedError, match="old password is wrong"):
            accounts.change_password("anna", "wrong", OTHER, "::2", now_utc_s=NOON + 1000 * attempt, now_s=0)
    with pytest.raises(LoginRefusedError, match="unlock"):
        accounts.change_password("anna", PASSWORD, OTHER, "::2", now_utc_s=NOON + 20_000, now_s=0)
    assert login(accounts, at_s=20_000)


def test_users_change_their_password_on_the_page(plant: Plant) -> None:
    users = plant.site.accounts.users
    users.add("carl", Role.VIEWER, hash_password("carl", PASSWORD))
    app = make_app(plant.site)
    fields = {"old": PASSWORD, "new": OTHER, "again": OTHER}
    with (
        TestClient(app, "http://localhost", follow_redirects=False) as client,
        TestClient(app, "http://localhost") as other,
    ):
        for each in (client, other):
            each.post("/login", data=login_fields(Role.VIEWER, each.get("/login").text) | {"name": "carl"})
        assert 'href="/password"' in client.get("/").text
        for wrong, status, said in [
            ({"old": "wrong"}, 403, "old password is wrong"),
            ({"again": "another long one"}, 400, "not the same"),
            ({"new": "short", "again": "short"}, 400, "12 to 200 characters"),
            ({"new": PASSWORD, "again": PASSWORD}, 400, "the old one"),
            ({"csrf": "0"}, 403, "did not come from this page"),
        ]:
            csrf = login_fields(Role.VIEWER, client.get("/password").text)["csrf"]
            answer = client.post("/password", data=fields | {"csrf": csrf} | wrong)
            assert (answer.status_code, said in answer.text) == (status, True), wrong
        before = client.cookies["inspectd_session"]
        csrf = login_fields(Role.VIEWER, client.get("/password").text)["csrf"]
        answer = client.post("/password", data=fields | {"csrf": csrf})
        assert "new password counts" in answer.text
        assert client.cookies["inspectd_session"] != before
        assert client.get("/password").status_code == 200
        assert other.get("/password").url.path == "/login"
        csrf = login_fields(Role.VIEWER, client.get("/password").text)["csrf"]
        assert client.post("/logout", data={"csrf": csrf}).status_code == 303
    entry = next(each for each in plant.site.audit.entries() if each.action == "user_changed")
    assert (entry.who, entry.detail) == ("carl", {"user": "carl", "password": "new"})
    users.remove("carl")


def test_without_a_login_nobody_changes_a_password(plant: Plant) -> None:
    site = replace(plant.site, config=plant.site.config.model_copy(update={"anonymous_viewer": True}))
    with TestClient(make_app(site), "http://localhost", follow_redirects=False) as client:
        csrf = login_fields(Role.VIEWER, client.get("/login").text)["csrf"]
        assert client.get("/password").headers["location"] == "/login?next=/password"
        assert client.post("/password", data={"csrf": csrf, "new": "x", "again": "x"}).status_code == 401


def test_nothing_tells_whether_a_user_exists(accounts: Accounts) -> None:
    for attempt in range(LOCKED_AFTER + 2):
        at_s = 1000.0 * attempt
        assert fail(accounts, "anna", at_s=at_s) == fail(accounts, "nobody", at_s=at_s, address="::2")


def test_an_address_that_fails_with_many_names_must_wait(accounts: Accounts) -> None:
    for number in range(12):
        said = fail(accounts, f"name-{number}", at_s=number * 0.001)
    assert "Try again in" in said
    with pytest.raises(LoginRefusedError, match="Try again"):
        login(accounts, at_s=0.02)
    assert login(accounts, at_s=0.02, address="::2")
    assert login(accounts, at_s=100)


def test_a_right_password_ends_the_counting_and_a_clock_that_is_set_back_the_wait(accounts: Accounts) -> None:
    for at_s in range(0, 5000, 1000):
        fail(accounts, at_s=at_s)
    assert login(accounts, at_s=3999)
    assert accounts.users.failures("::1", "anna").count == 0


def test_attempts_are_in_the_audit_trail_and_a_typed_password_is_not(accounts: Accounts, tmp_path: Path) -> None:
    fail(accounts, "my secret password")
    fail(accounts, "anna")
    login(accounts)
    entries = AuditTrail(tmp_path / "audit.sqlite").entries()
    assert [(entry.who, entry.action) for entry in reversed(entries)] == [
        ("(unknown)", "login_failed"), ("anna", "login_failed"), ("anna", "login"),
    ]  # fmt: skip
    for file in tmp_path.iterdir():
        assert b"secret" not in file.read_bytes()


def test_the_last_admin_stays(accounts: Accounts) -> None:
    for change in (lambda: accounts.users.remove("root"), lambda: accounts.users.set_role("root", Role.ENGINEER)):
        with pytest.raises(AccountError, match="only admin"):
            change()
    accounts.users.set_role("anna", Role.ADMIN)
    accounts.users.remove("root")
    with pytest.raises(AccountError, match="only admin"):
        accounts.users.remove("anna")


def test_failures_of_strangers_do_not_fill_the_file(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspectd.records.users._MOST_FAILURES_KEPT", 5)
    fail(accounts, "anna")
    for number in range(10):
        fail(accounts, f"name-{number}", address=f"10.0.0.{number}")
    assert accounts.users.failures("::1", "anna").count == 1
    assert accounts.users.failures("10.0.0.0", "name-0").count == 0


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("short", "12 to 200"),
        ("a" * 201, "12 to 200"),
        ("abababababab", "different characters"),
        ("annabel12345", "name"),
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused(password: str, problem: str) -> None:
    with pytest.raises(AccountError, match=problem):
        hash_password("annabel", password)


def test_the_hash_is_argon2id_with_owasps_parameters() -> None:
    assert HASH.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert HASH != NEW_HASH


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: Client, plant: Plant) -> None:
    client(None).cookies.clear()
    form = client(None).get("/login")
    before = form.headers["set-cookie"]
    answer = client(None).post("/login", data=login_fields(Role.VIEWER, form.text))
    cookie = answer.headers["set-cookie"]
    for each in (before, cookie):
        assert re.search("httponly", each, re.IGNORECASE)
        assert re.search("samesite=strict", each, re.IGNORECASE)
        assert "Path=/" in each
    assert cookie.split(";")[0] != before.split(";")[0], "nobody knows the session's cookie before the login"
    client(None).cookies.clear()


def test_a_login_needs_the_forms_token(client: Client) -> None:
    client(None).cookies.clear()
    fields = login_fields(Role.VIEWER, client(None).get("/login").text)
    assert client(None).post("/login", data=fields | {"csrf": "0" * 64}).status_code == 403
    client(None).cookies.clear()
    assert client(None).post("/login", data=fields).status_code == 403


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example"])
def test_a_login_leads_to_pages_of_this_site_only(client: Client, to: str) -> None:
    client(None).cookies.clear()
    fields = login_fields(Role.VIEWER, client(None).get("/login", params={"next": to}).text)
    answer = client(None).post("/login", data=fields | {"next": to})
    assert answer.headers["location"] == "/"
    client(None).cookies.clear()


def test_somebody_without_a_login_writes_nothing_into_the_audit_trail(plant: Plant) -> None:
    site = replace(plant.site, config=plant.site.config.model_copy(update={"anonymous_viewer": True}))
    newest = site.audit.entries(limit=1)
    with TestClient(make_app(site), "http://localhost", follow_redirects=False) as client:
        csrf = login_fields(Role.VIEWER, client.get("/login").text)["csrf"]
        assert client.post("/logout", data={"csrf": csrf}).status_code == 303
    assert site.audit.entries(limit=1) == newest
