"""`inspectd serve mqtt`: the process of the bridge, from config to exit code."""

import signal
import threading
import time
from pathlib import Path

import structlog

from inspectd.serve.line_facts import read_line_facts
from inspectd.serve.mqtt.bridge import Bridge
from inspectd.serve.mqtt.config import load_mqtt_config
from inspectd.serve.mqtt.connection import read_password, tls_context
from inspectd.serve.state_folder import make_state_folder
from inspectd.systemd import Notifier

log = structlog.get_logger()

_FED_EVERY_S = 5.0


def serve(path: Path) -> int:
    """Publish until SIGTERM or Ctrl-C. Raises ConfigError if the config, its files or the state folder can't be used."""
    config = load_mqtt_config(path)
    make_state_folder(config.state, 0o750)
    if config.broker.login is not None:
        read_password(config.broker.login.password_file)
    if config.broker.tls is not None:
        tls_context(config.broker.tls)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    bridge = Bridge(read_line_facts(config.line), config)
    notifier, fed_s = Notifier(), float("-inf")
    log.info("the bridge is there", broker=config.broker.host, port=config.broker.port_used)
    notifier.ready()
    while not ending.is_set():
        bridge.turn()
        if time.monotonic() - fed_s >= _FED_EVERY_S:
            fed_s = time.monotonic()
            notifier.watchdog()
            notifier.status(bridge.said)
    notifier.stopping()
    bridge.close()
    log.info("stopped")
    return 0
