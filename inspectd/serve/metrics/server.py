"""`inspectd serve metrics`: the process that Prometheus asks, from config to exit code."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from inspectd.serve.address import listen
from inspectd.serve.line_facts import read_line_facts
from inspectd.serve.metrics.config import MetricsConfig, load_metrics_config
from inspectd.serve.metrics.exposition import LineCollector
from inspectd.serve.metrics.watching import Watch
from inspectd.serve.state_folder import make_state_folder
from inspectd.systemd import Notifier

log = structlog.get_logger()

MOST_CONNECTIONS = 16
LONGEST_S = 10.0
"""A connection that lasts longer is closed, whatever its client does."""
_FED_EVERY_S = 5.0
_HANGS_AFTER_S = 30.0


def serve(path: Path) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises ConfigError if the config, the state folder or the port can't be used."""
    config = load_metrics_config(path)
    make_state_folder(config.state, 0o750)
    line = read_line_facts(config.line)
    with listen(config.host, config.port, backlog=MOST_CONNECTIONS) as listening:
        watch = Watch(line, config.state)
        server = MetricsServer(listening, application(watch, config), lambda: watch.turned_s)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        host, port = listening.getsockname()[:2]
        log.info("metrics are there", url=f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics")
        Notifier().ready()
        server.serve_forever()
        Notifier().stopping()
        watch.close()
    log.info("stopped")
    return 0


def application(watch: Watch, config: MetricsConfig) -> WSGIApplication:
    """Answers GET /metrics."""
    registry = CollectorRegistry()
    registry.register(LineCollector(watch, config.pull))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    metrics: WSGIApplication = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"The metrics are at /metrics.\n"]

    return answer


class MetricsServer(ThreadingWSGIServer):
    """A thread per connection, of which there are few, each for a short time. It feeds systemd's watchdog while `turned_s` grows."""

    def __init__(self, listening: socket.socket, app: WSGIApplication, turned_s: Callable[[], float]) -> None:
        """`turned_s`: when the journal was last looked at, in monotonic seconds."""
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = "localhost", listening.getsockname()[1]
        self.setup_environ()
        self.set_app(app)
        self._turned_s = turned_s
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        self._fed_s = float("-inf")

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is a place for another connection."""
        with self._lock:
            if len(self._open) >= MOST_CONNECTIONS:
                return False
            self._open[request] = time.monotonic()
            return True

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called twice a second, and after each connection."""
        now_s = time.monotonic()
        with self._lock:
            for request in [each for each, since_s in self._open.items() if now_s - since_s > LONGEST_S]:
                del self._open[request]
                try:
                    request.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # its client has closed it
        if now_s - self._fed_s >= _FED_EVERY_S and now_s - self._turned_s() < _HANGS_AFTER_S:
            self._fed_s = now_s
            Notifier().watchdog()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is not a fault of this program."""
        log.debug("a connection has failed", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = LONGEST_S
    server_version = sys_version = ""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: Prometheus asks again and again."""
