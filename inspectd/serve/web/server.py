"""`inspectd serve web`: the process of the operator's page, from config to exit code."""

import socket
from pathlib import Path

import structlog
import uvicorn

from inspectd.errors import ConfigError
from inspectd.serve.web.accounts import Accounts
from inspectd.serve.web.app import make_app
from inspectd.serve.web.config import WebConfig, load_web_config
from inspectd.serve.web.line_facts import read_line_facts
from inspectd.serve.web.line_file import LineFile
from inspectd.serve.web.site import Site

log = structlog.get_logger()


def serve(path: Path) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises ConfigError if the config, the state folder or the port can't be used."""
    config = load_web_config(path)
    site = open_site(config)
    listening = _listen(config)
    host, port = listening.getsockname()[:2]
    log.info("the page is there", url=f"http://{host}:{port}/")
    server = uvicorn.Server(uvicorn.Config(make_app(site), log_config=None, access_log=False, server_header=False))
    server.run(sockets=[listening])
    return 0


def open_site(config: WebConfig) -> Site:
    """Open what the page keeps. Raises ConfigError."""
    try:
        config.state.mkdir(parents=True, exist_ok=True)
        accounts = Accounts(config.state / "accounts.sqlite")
    except OSError as error:
        raise ConfigError(f"state: {config.state} can't be used: {error.strerror}") from error
    return Site(config=config, line=read_line_facts(config.line), accounts=accounts, line_file=LineFile(config.line))


def _listen(config: WebConfig) -> socket.socket:
    try:
        return socket.create_server((config.host, config.port), backlog=128)
    except OSError as error:
        raise ConfigError(
            f"host, port: can't listen at {config.host}:{config.port}: {error.strerror or error}"
        ) from error
