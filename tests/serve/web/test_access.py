"""Who may do what, on every route of the site."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from inspectd.errors import JournalError
from inspectd.records.users import Role
from inspectd.serve.web.access.request_checks import LARGEST_BODY
from inspectd.serve.web.app import make_app
from tests.serve.web.conftest import PASSWORD, Plant, login_fields

Client = Callable[[Role | None], TestClient]
PUBLIC = {("GET", "/login"), ("POST", "/login")}
"""Routes for people who are not logged in. Each one here must have a reason."""
NOBODY = "\N{BULLET} <script>alert('x')</script>\x1b[31m'; DROP TABLE users; --"


def routes(plant: Plant) -> Iterator[tuple[str, str, Role | None]]:
    """Method, path and role of each route; role None: public."""
    for route in make_app(plant.site).routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
            continue
        assert isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            role = getattr(route.endpoint, "role", None)
            assert role is not None or (method, route.path) in PUBLIC, (
                f"{method} {route.path} needs a role: access.needs"
            )
            yield method, re.sub(r"\{\w+(:\w+)?\}", "7", route.path), role


def _least(method: str, path: str) -> Role:
    """The role that a route needs at least, by what it is about."""
    about = path.split("/")[1]
    if about == "users":
        return Role.ADMIN
    if method == "GET" or path in ("/logout", "/password"):
        return Role.OPERATOR if about == "review" else Role.VIEWER
    return Role.ENGINEER if about in ("engines", "expect", "setup") else Role.OPERATOR


def test_the_matrix_of_all_routes_and_roles(plant: Plant, client: Client) -> None:
    checked = 0
    for method, path, needed in routes(plant):
        if needed is None:
            continue
        for role in (None, *Role):
            if role is not None and role >= needed and method == "POST":
                continue  # allowed: without the token it is refused, see below
            answer = client(role).request(method, path) if not _is_stream(path) else None
            if answer is None:
                continue
            checked += 1
            what = f"{method} {path} as {role.name if role else 'nobody'}: {answer.status_code}"
            if role is None:
                assert answer.status_code == (303 if method == "GET" else 401), what
                assert method != "GET" or answer.headers["location"] == f"/login?next={quote(path)}", what
            elif role < needed:
                assert answer.status_code == 403, what
            else:
                assert answer.status_code < 500, what
                assert answer.status_code not in (401, 403), what
    assert checked >= 30


def test_what_changes_something_needs_the_token_of_the_session(plant: Plant, client: Client) -> None:
    stranger = login_fields(Role.ADMIN, TestClient(make_app(plant.site), "http://localhost").get("/login").text)["csrf"]
    for method, path, needed in routes(plant):
        if method == "GET" or needed is None:
            continue
        for csrf in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": stranger}):
            answer = client(Role.ADMIN).request(method, path, headers=csrf)
            assert answer.status_code == 403, f"{method} {path} with {csrf}"
    assert client(Role.ADMIN).get("/").status_code == 200, "nothing has logged the admin out"


def _is_stream(path: str) -> bool:
    return path == "/events"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_request_from_another_site_is_refused(client: Client, headers: dict[str, str]) -> None:
    token = _csrf(client(Role.VIEWER))
    answer = client(Role.VIEWER).post("/logout", headers=headers | {"X-CSRF-Token": token})
    assert (answer.status_code, "another site" in answer.text) == (403, True)
    assert client(Role.VIEWER).get("/").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8440", 200), ("127.0.0.1", 200), ("[::1]:8440", 200), ("192.168.7.9:8440", 200),
        ("evil.example", 421), ("localhost.evil.example:8440", 421), ("127.0.0.1.nip.io", 421), ("[", 421), ("", 421),
    ],
)  # fmt: skip
def test_only_names_of_this_computer_are_answered(client: Client, host: str, status: int) -> None:
    assert client(None).get("/login", headers={"host": host}).status_code == status


def test_a_large_body_is_refused_and_not_kept(client: Client) -> None:
    answer = client(Role.OPERATOR).post("/logout", content=b"x" * (LARGEST_BODY + 1))
    assert answer.status_code == 413
    chunks = (b"y" * 1024 for _ in range(300))
    assert client(Role.OPERATOR).post("/logout", content=chunks).status_code == 413


@pytest.mark.parametrize("path", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "..\\app.py", "a%00.css"])
def test_no_path_leads_out_of_the_static_files(client: Client, path: str) -> None:
    answer = client(Role.ADMIN).get(f"/static/{path}")
    assert answer.status_code in (400, 404)
    assert "make_app" not in answer.text


def test_an_admin_adds_changes_unlocks_and_removes_a_user(plant: Plant, client: Client) -> None:
    admin = client(Role.ADMIN)

    def post(path: str, **fields: str) -> int:
        return admin.post(path, data={"csrf": _csrf(admin), **fields}).status_code

    assert post("/users", name=NOBODY.replace("\x1b", ""), role="viewer", password=PASSWORD) == 303
    name = NOBODY.replace("\x1b", "")
    page = admin.get("/users").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert post("/users/role", name=name, role="engineer") == 303
    account = plant.site.accounts.users.find(name)
    assert account is not None
    assert account.role == Role.ENGINEER
    assert post("/users/unlock", name=name) == 303
    assert post("/users/remove", name=name) == 303
    assert plant.site.accounts.users.find(name) is None
    actions = [entry.action for entry in plant.site.audit.entries(limit=4)]
    assert actions == ["user_removed", "user_unlocked", "user_changed", "user_added"]


@pytest.mark.parametrize(
    ("path", "fields", "status", "said"),
    [
        ("/users", {"name": NOBODY, "role": "viewer", "password": PASSWORD}, 400, "can be printed"),
        ("/users", {"name": "viewer", "role": "viewer", "password": PASSWORD}, 400, "exists already"),
        ("/users", {"name": "ben", "role": "viewer", "password": "short"}, 400, "12 to 200 characters"),
        ("/users", {"name": "ben", "role": "king", "password": PASSWORD}, 400, "can&#39;t be used"),
        ("/users/role", {"name": "admin", "role": "viewer"}, 400, "only admin"),
        ("/users/remove", {"name": "admin"}, 400, "only admin"),
        ("/users/remove", {"name": "nobody"}, 400, "no such user"),
    ],
)
def test_what_cannot_be_done_is_said(client: Client, path: str, fields: dict[str, str], status: int, said: str) -> None:
    admin = client(Role.ADMIN)
    answer = admin.post(path, data={"csrf": _csrf(admin), **fields})
    assert answer.status_code == status
    assert said in answer.text


def test_a_journal_that_cannot_be_read_is_said_in_words(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(plant.site)

    async def broken(request: object) -> None:
        raise JournalError("/var/lib/inspectd/journal.sqlite: can't be read as a journal: malformed")

    app.router.routes.insert(0, Route("/login", broken, methods=["GET"]))
    answer = TestClient(app, "http://localhost").get("/login")
    assert answer.status_code == 503
    assert "malformed." in answer.text
    assert "Traceback" not in answer.text


def test_a_fault_of_a_page_is_answered_with_all_headers_and_logged(
    plant: Plant, capfd: pytest.CaptureFixture[str]
) -> None:
    app = make_app(plant.site)

    async def broken(request: object) -> None:
        raise RuntimeError("secret of the page")

    app.router.routes.insert(0, Route("/login", broken, methods=["GET"]))
    answer = TestClient(app, "http://localhost").get("/login")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_without_an_audit_trail_nothing_is_changed_and_reading_goes_on(plant: Plant, client: Client) -> None:
    trail = plant.site.config.state / "audit.head"
    kept = trail.read_text()
    trail.write_text("altered")
    try:
        admin = client(Role.ADMIN)
        answer = admin.post("/users/remove", data={"csrf": _csrf(admin), "name": "viewer"})
        assert answer.status_code == 503
        assert "audit trail" in answer.text
        assert "Nothing was changed" in answer.text
        assert plant.site.accounts.users.find("viewer") is not None
        assert admin.get("/").status_code == 200
    finally:
        trail.write_text(kept)


def _csrf(client: TestClient) -> str:
    found = re.search(r'name="csrf" content="(\w+)"', client.get("/").text)
    assert found
    return found[1]
