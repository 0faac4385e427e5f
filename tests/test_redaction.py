import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspectd.camera.opencv import OpencvConfig
from inspectd.redaction import redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("camera.device 0: gone", "camera.device 0: gone"),
        ("x=1&y=2 is not a URL", "x=1&y=2 is not a URL"),
        ("http://op:s3c@h/v: no image", "http://***@h/v: no image"),
        ("{'device': 'rtsp://op:a@b/c?d@h:554/v'}", "{'device': 'rtsp://***@h:554/v'}"),
        ("http://h/v?user=op&pwd=s3c: gone", "http://h/v?user=***&pwd=*** gone"),
        ("rtsp://h/user=op_password=s3c_channel=1: gone", "rtsp://h/user=*** gone"),
    ],
)
def test_what_is_left_of_a_text(text, expected):
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "url",
    [
        "rtsp:/admin:geheim@cam/1",
        "rtsp//admin:geheim@cam",
        "rtsp;//admin:geheim@cam",
        "rtsp: //admin:geheim@cam",
        "rtsp:\\\\admin:geheim@cam",
        "admin:geheim@cam/1",
        "http:/cam/x?user=admin&password=geheim",
        "cam/x?user=admin&password=geheim",
    ],
)
def test_a_url_that_was_mistyped_keeps_its_secrets(url):
    config = OpencvConfig(kind="opencv", device=url)
    assert "geheim" not in redacted(f"camera.device: '{url}' is not allowed")
    assert "geheim" not in config.title + config.resolved


@pytest.mark.parametrize("text", ["--set pass_class=good: 3", "C: /photos/@eaDir", "line 3, column 5: a=b; c"])
def test_what_is_no_url_stays(text):
    assert redacted(text) == text


SECRET = st.text(
    st.characters(codec="utf-8", exclude_characters="\n&;#'\" \t", exclude_categories=["Z", "C"]), min_size=4
)


@example("0000", "0000", "@000", "http")
@given(SECRET, SECRET, SECRET, st.sampled_from(["http", "https", "rtsp", "rtmp+tls"]))
def test_no_secret_survives(user, password, token, scheme):
    url = f"{scheme}://{user}7:{password}8@camera.local:554/live?n=1&token={token}9"
    left = (
        redacted(f"camera.device '{url}': gone. {url}")
        .replace("camera.device", "")
        .replace("camera.local:554/live", "")
    )
    for secret in (f"{user}7", f"{password}8", f"{token}9"):
        assert secret not in left
