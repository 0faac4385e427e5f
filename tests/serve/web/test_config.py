"""The page's config: what may be written there, and what an error says."""

from pathlib import Path

import pytest

from inspectd.errors import ConfigError
from inspectd.serve.web.config import WebConfig, load_web_config

PEM = "tls: {certificate: page.pem, key: page.key}"


def load(tmp_path: Path, *lines: str) -> WebConfig:
    file = tmp_path / "web.yaml"
    file.write_text("\n".join(["line: line.yaml", *lines]))
    return load_web_config(file)


def test_the_page_is_for_this_computer_only_until_told(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert (config.host, config.port, config.anonymous_viewer) == ("127.0.0.1", 8440, False)
    assert config.line == tmp_path / "line.yaml"
    assert config.session_cookie == "inspectd_session"


@pytest.mark.parametrize(
    "lines",
    [
        [PEM, "host: 0.0.0.0"],
        ["host: '::1'"],
        ["host: 0.0.0.0", "insecure_http: true"],
        ["public_url: https://line-3.example", "behind_proxy: [127.0.0.1]"],
        ["host: 10.0.0.5", "public_url: https://line-3.example:8443", "behind_proxy: [10.0.0.0/24]"],
        ["public_url: http://line-3.example", "insecure_http: true"],
    ],
)
def test_an_encrypted_or_accepted_way_is_taken(tmp_path: Path, lines: list[str]) -> None:
    load(tmp_path, *lines)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["host: 0.0.0.0"], "host: '0.0.0.0': passwords would cross the network without encryption"),
        (["host: printer-3"], "host: 'printer-3' is not allowed: must be an IP address"),
        (["host: 0.0.0.0", "public_url: https://line-3.example"], "add tls, or behind_proxy"),
        (["public_url: http://line-3.example"], "write https://, or insecure_http: true"),
        (["public_url: https://line-3.example/page"], "must be http:// or https:// and a host in small letters"),
        (["behind_proxy: [10.0.0.1]"], "public_url: missing"),
        (["public_url: https://a.example", "behind_proxy: ['*']"], "must be an IP address or a network"),
        (["prot: 80"], "did you mean 'port'?"),
        (["tls: {certificate: page.pem}"], "tls.key: missing"),
        (["idle_minutes: 0"], "idle_minutes"),
        (['shifts: ["0\u0666:00"]'], "shifts"),
    ],
)
def test_an_error_names_key_and_what_is_allowed(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, *lines)
    assert said in str(error.value)


def test_the_cookie_belongs_to_https_where_browsers_use_it(tmp_path: Path) -> None:
    for lines in ([PEM], ["public_url: https://line-3.example", "behind_proxy: [127.0.0.1]"]):
        config = load(tmp_path, *lines)
        assert config.encrypts
        assert config.session_cookie == "__Host-inspectd_session"
