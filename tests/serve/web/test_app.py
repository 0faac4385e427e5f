"""Who gets which page."""

from inspectd.serve.web.access.roles import Role


def test_somebody_without_a_login_is_sent_to_the_login_page(client):
    answer = client(None).get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/")


def test_a_viewer_sees_the_line(client):
    answer = client(Role.VIEWER).get("/")
    assert answer.status_code == 200
    assert "printer-3" in answer.text


def test_no_page_runs_or_loads_anything_from_elsewhere(client):
    policy = client(None).get("/login").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_request_without_the_token_changes_nothing(client):
    assert client(Role.VIEWER).post("/logout").status_code == 403
    assert client(Role.VIEWER).get("/").status_code == 200


def test_a_page_that_does_not_exist_says_so(client):
    answer = client(Role.VIEWER).get("/nothing")
    assert answer.status_code == 404
    assert "does not exist" in answer.text


def test_a_part_number_of_any_length_is_answered(client):
    assert client(Role.VIEWER).get(f"/parts/{'9' * 1000}").status_code == 414
    assert client(Role.VIEWER).get(f"/parts/{'9' * 5000}").status_code == 414
    assert client(Role.VIEWER).get(f"/parts/{'9' * 100}").status_code == 404
