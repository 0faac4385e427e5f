"""Whatever is sent to whichever route: the page answers, never with a failure of its own, and never with the sender's script."""

import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.routing import Route
from starlette.testclient import TestClient

from inspectd.records.users import Role
from inspectd.serve.web.app import make_app
from tests.serve.web.conftest import Plant

SCRIPT = "<script>alert(1)</script>"
NASTY = [
    SCRIPT, f'"\'>{SCRIPT}', f"{{{{7*7}}}}{SCRIPT}", "../../../etc/passwd", "..%2f..%2fetc/passwd", "%00", "\x00", "\x1b[31m", "\ud800",
    "'; DROP TABLE parts; --", "1 OR 1=1", "-1", "0", "99999999999999999999", "1e400", "NaN", "1970-01-01", "2026-02-30T25:61",
    "no_fail", "fail_label_half_printed", "\N{RIGHT-TO-LEFT OVERRIDE}", "a" * 3000,
]  # fmt: skip
KEYS = [
    "after", "engine", "field", "id", "kind", "name", "next", "number", "part", "password", "predicted", "role", "seen", "show",
    "since", "sort", "t", "until", "verdict",
]  # fmt: skip
"""Of the queries and forms that the pages read."""
LEFT_OUT = {"/logout", "/events", "/engines/learn", "/setup/check"}
"""They end the session, go on for ever, or start a process of a minute."""

texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=30), st.integers().map(str))
fields = st.dictionaries(st.sampled_from([*KEYS, "[]", "\x00"]), texts, max_size=4)
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | texts, lambda inner: st.lists(inner, max_size=3)
                      | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3), max_leaves=6)  # fmt: skip
bodies = st.one_of(
    fields.map(lambda each: {"data": {name: _sendable(text) for name, text in each.items()}}),
    values.map(lambda each: {"content": _json(each), "headers": {"Content-Type": "application/json"}}),
    st.binary(max_size=200).map(
        lambda each: {"content": each, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}
    ),
    st.binary(max_size=200).map(
        lambda each: {"content": each, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    ),
)
headers = st.dictionaries(
    st.sampled_from(["Accept", "Cookie", "HX-Request", "HX-Target", "If-None-Match", "Last-Event-ID", "Range", "X-Forwarded-For", "Referer"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40) | st.sampled_from(["bytes=5-1", SCRIPT, "-1", "99999999999999999999"]),
    max_size=2,
)  # fmt: skip


def _sendable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def admin(plant: Plant, client: Callable[[Role | None], TestClient]) -> TestClient:
    return client(Role.ADMIN)


def test_no_request_makes_a_page_fail(plant: Plant, admin: TestClient) -> None:
    routes = [
        (method, route.path)
        for route in make_app(plant.site).routes
        if isinstance(route, Route) and route.path not in LEFT_OUT
        for method in (route.methods or {"GET"}) - {"HEAD"}
    ]
    csrf = re.search(r'name="csrf" content="(\w+)"', admin.get("/").text)
    assert csrf
    token = {"X-CSRF-Token": csrf[1]}
    methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])

    @settings(
        max_examples=int(os.environ.get("INSPECTD_REQUESTS", "150")),
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(
        st.sampled_from(sorted(routes)),
        st.lists(texts, min_size=3, max_size=3),
        fields,
        bodies,
        headers,
        st.none() | methods,
    )
    def fuzz(
        route: tuple[str, str],
        parts: list[str],
        query: dict[str, str],
        body: dict[str, Any],
        more: dict[str, str],
        other: str | None,
    ) -> None:
        method, path = route
        for part in parts:
            path = re.sub(r"\{\w+(:\w+)?\}", lambda _, part=part: quote(part, safe="", errors="replace"), path, count=1)
        sent = dict(body) if method == "POST" else {}
        sent["headers"] = (
            sent.get("headers", {}) | {name: text for name, text in more.items() if name != "Cookie"} | token
        )
        query = {name: _sendable(text) for name, text in query.items()}
        answer = admin.request(other or method, path, params=query, **sent)
        assert answer.status_code not in (500, 501, 502), f"{method} {path} {query} {sent}: {answer.status_code}"
        assert answer.headers["x-content-type-options"] == "nosniff"
        if "html" in answer.headers.get("content-type", ""):
            assert SCRIPT not in answer.text, f"{method} {path} {query} {sent}"

    fuzz()
    for method, path in routes:
        for key in KEYS if method == "GET" and "{" not in path else ():
            answer = admin.get(path, params={key: SCRIPT})
            assert SCRIPT not in answer.text, f"{path}?{key}="
            assert answer.status_code < 500
    assert admin.get("/users").status_code == 200, "the admin is still there"


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
@given(
    path=texts,
    host=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
    cookie=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
)
def test_no_path_host_or_cookie_makes_the_site_fail(admin: TestClient, path: str, host: str, cookie: str) -> None:
    for headers in ({"host": host}, {"cookie": f"inspectd_session={cookie}"}, {"cookie": cookie}):
        answer = admin.get("/" + quote(path, errors="replace"), headers=headers)
        assert answer.status_code < 500
        assert SCRIPT not in answer.text
