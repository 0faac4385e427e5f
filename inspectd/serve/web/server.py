"""`inspectd serve web`: the process of the operator's page, from config to exit code."""

import os
import signal
import socket
import threading
from pathlib import Path

import structlog
import uvicorn

from inspectd.errors import ConfigError
from inspectd.records.audit import AuditTrail
from inspectd.serve.address import listen
from inspectd.serve.line_facts import read_line_facts
from inspectd.serve.state_folder import make_state_folder
from inspectd.serve.web.access.accounts import Accounts
from inspectd.serve.web.access.connection import Connection
from inspectd.serve.web.access.listening import Listening
from inspectd.serve.web.app import make_app
from inspectd.serve.web.config import WebConfig, load_web_config
from inspectd.serve.web.line_file import LineFile
from inspectd.serve.web.site import Site
from inspectd.systemd import Notifier

log = structlog.get_logger()

_STOP_WITHIN_S = 1
"""Streams of events never end by themselves: they are cut so long after SIGTERM."""
_FED_EVERY_S = 5
"""systemd's watchdog, if the unit has one: a page that hangs inside a read transaction lets the journal's log grow until it ends."""
_MOST_CONNECTIONS = 128
_LARGEST_HEAD = 16 * 1024
_UNREAD_FOR_MS = 30_000


def serve(path: Path) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises ConfigError if the config, the state folder or the port can't be used."""
    config = load_web_config(path)
    site = open_site(config)
    listening = _listen(config)
    server = _Server(server_settings(site))
    log.info("the page is there", url=_url(config, listening))
    if not site.accounts.users.all():
        log.warning(
            "nobody can log in yet: add an admin",
            command=f"inspectd users add NAME --role admin --state {config.state}",
        )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when it has stopped
    server.run(sockets=[listening])
    log.info("stopped")
    return 0


class _Server(uvicorn.Server):
    """Tells systemd when the page answers, and ends in time whatever its threads wait for."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        Notifier().ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        Notifier().stopping()
        # a thread may wait for a disk or a line that hangs
        end = threading.Timer(_STOP_WITHIN_S + 0.5, os._exit, (0,))
        end.daemon = True
        end.start()
        await super().shutdown(sockets)


async def _feed_watchdog() -> None:
    Notifier().watchdog()


def open_site(config: WebConfig) -> Site:
    """Open what the page keeps. Raises ConfigError."""
    make_state_folder(config.state, 0o711)
    audit = AuditTrail(config.state / "audit.sqlite")
    accounts = Accounts(config.state, audit, idle_s=config.idle_minutes * 60, longest_s=config.session_hours * 3600)
    return Site(
        config=config,
        line=read_line_facts(config.line),
        accounts=accounts,
        audit=audit,
        line_file=LineFile(config.line),
    )


def server_settings(site: Site) -> uvicorn.Config:
    """How connections are accepted, limited and encrypted. Raises ConfigError if the TLS files can't be used."""
    config, tls = site.config, site.config.tls
    settings = uvicorn.Config(
        make_app(site),
        loop="asyncio",  # others would not ask `Listening`
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",  # the app logs its failures itself
        access_log=False,
        server_header=False,
        proxy_headers=bool(config.behind_proxy),
        forwarded_allow_ips=list(config.behind_proxy),
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_LARGEST_HEAD,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        callback_notify=_feed_watchdog,
        timeout_notify=_FED_EVERY_S,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    try:
        settings.load()
    except OSError as error:  # also what the TLS library says of wrong files
        assert tls is not None
        raise ConfigError(f"tls: {tls.certificate} and {tls.key} can't be used: {error}") from error
    return settings


def _listen(config: WebConfig) -> Listening:
    listening = listen(config.host, config.port, backlog=128)
    # Accepted connections inherit both: a client that no longer reads is disconnected, and no answer waits for the
    # acknowledgement of the one before (Nagle), which takes 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_FOR_MS)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Listening(listening, config.behind_proxy)


def _url(config: WebConfig, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    own = f"{'https' if config.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    return f"{config.public_url or own}/"
