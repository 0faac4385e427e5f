"""Runs as tasks of a Ray cluster: one task is one run, in a process of its own."""

import logging
import os
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from inspectd.errors import ConfigError
from inspectd_tools.experiments.cluster import ClusterError
from inspectd_tools.experiments.node import asked
from inspectd_tools.experiments.paths import LOG, WORK

_REACH_S = 10.0
_HEALTH_S = 30.0
_CHECK_S = 120.0
_STOP_S = 30.0


class RayCluster:
    """The cluster at `address` (host:port of its head), or a temporary one of this machine alone (`local`).

    `folder` must be visible on every node. A run takes `threads` cores and, if `needs_gpu`, one GPU. Raises ConfigError and
    ClusterError.
    """

    def __init__(self, address: str, folder: Path, threads: int, needs_gpu: bool) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--ray: Ray is not installed: pip install 'inspectd[ray]'") from error
        self._ray = ray
        self._wanted = {"CPU": threads} | ({"GPU": 1} if needs_gpu else {})
        self._going: dict[Any, Path] = {}
        errors = ray.exceptions
        self._lost = (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.LocalRayletDiedError,
            errors.ObjectLostError,
            errors.TaskUnschedulableError,
        )
        _connect(ray, address)
        self._task = ray.remote(
            max_retries=0,  # `spread` starts lost runs again
            max_calls=1,
            num_cpus=threads,
            num_gpus=int(needs_gpu),
            scheduling_strategy="SPREAD",
        )(_call())
        try:
            self._require_a_node()
            self._check_nodes(folder)
        except BaseException:
            ray.shutdown()
            raise

    def start(self, folder: Path) -> None:
        work = folder.resolve() / WORK
        command = ["-m", "inspectd_tools.experiments.worker", str(work), "--die-with-parent"]
        reference = self._task.remote(command, {"OMP_NUM_THREADS": str(self._wanted["CPU"])}, str(work.parent / LOG))
        self._going[reference] = folder

    def ended(self, within_s: float) -> list[tuple[Path, int | None]]:
        done, _ = self._ray.wait(list(self._going), num_returns=1, timeout=within_s)
        if not done:
            self._require_a_node()
        return [(self._going.pop(reference), self._code(reference)) for reference in done]

    def stop(self) -> None:
        for reference in self._going:
            self._ray.cancel(reference, force=True)
        if self._going:
            self._ray.wait(list(self._going), num_returns=len(self._going), timeout=_STOP_S)
        self._ray.shutdown()

    def _code(self, reference: Any) -> int | None:
        try:
            code, said = self._ray.get(reference)
        except self._lost:
            return None
        except self._ray.exceptions.RayError as error:
            code, said = os.EX_SOFTWARE, str(error)
        if said:
            print(f"experiments: {said}", file=sys.stderr)
        return int(code)

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _require_a_node(self) -> None:
        nodes = self._nodes()
        if any(all(node["Resources"].get(key, 0) >= n for key, n in self._wanted.items()) for node in nodes):
            return
        wanted, here = _sum(self._wanted), "; ".join(_sum(node["Resources"]) for node in nodes) or "no node"
        raise ClusterError(f"--ray: a run needs a node with {wanted}, but the cluster has: {here}")

    def _check_nodes(self, folder: Path) -> None:
        """Raises ClusterError naming every node that can't do the runs, and why."""
        with asked(folder) as question:
            arguments = question.command("")[1:]
            answers = [(node, self._task_on(node["NodeID"]).remote(arguments, {}, None)) for node in self._nodes()]
            troubles = [
                f"node {node['NodeManagerHostname']} {node['NodeManagerAddress']}: {words}"
                for node, answer in answers
                if (words := self._trouble(answer))
            ]
        if troubles:
            raise ClusterError("--ray: " + "; ".join(troubles))

    def _task_on(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        return self._task.options(num_cpus=0, num_gpus=0, scheduling_strategy=there)

    def _trouble(self, answer: Any) -> str:
        try:
            code, said = self._ray.get(answer, timeout=_CHECK_S)
        except self._lost:
            return ""  # it has died, and the cluster did not know yet; it gets no run
        except self._ray.exceptions.GetTimeoutError:
            return f"did not answer within {_CHECK_S:.0f} s"
        except self._ray.exceptions.RayError as error:
            return str(error).strip().splitlines()[-1]
        last = said.strip().splitlines()[-1] if said.strip() else f"the check ended with exit code {code}"
        if code and "No module named" in last:
            return f"inspectd's tools are not installed there ({last}); install the same version as here"
        return last if code else ""


def _connect(ray: Any, address: str) -> None:
    usual = signal.getsignal(signal.SIGTERM)
    given: dict[str, Any] = {"address": address}
    if address == "local":
        given |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    else:
        _reach(address)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        words = str(error).strip().splitlines()
        raise ClusterError(f"--ray {address}: Ray can't join this cluster: {words[0] if words else error!r}") from error
    finally:
        signal.signal(signal.SIGTERM, usual)  # Ray takes the signal for itself


def _reach(address: str) -> None:
    """Raises ConfigError or ClusterError, because `ray.init` waits for minutes for a head that does not answer."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(
            f"--ray {address}: must be local, or host:port of the head of a cluster, such as 10.0.0.5:6379"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except OSError as error:
        words = error.strerror or str(error)
        raise ClusterError(f"--ray {address}: not reachable: {words}; start the head with: ray start --head") from error
    check = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        answer = subprocess.run(check, capture_output=True, text=True, check=False, timeout=_HEALTH_S)
    except subprocess.TimeoutExpired:
        answer = None
    if answer is not None and "AuthenticationError" in answer.stderr:
        raise ClusterError(
            f"--ray {address}: the cluster asks for its token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, as for its nodes"
        )
    if answer is None or answer.returncode:
        raise ClusterError(
            f"--ray {address}: what listens there is not the head of a Ray cluster of this version of Ray"
        )


def _call() -> Any:
    """The function that nodes run. Ray sends its code, so it works on a node that has no inspectd."""

    def call(arguments: list[str], variables: dict[str, str], log: str | None) -> tuple[int, str]:
        import os
        import subprocess
        import sys

        command, environment = [sys.executable, *arguments], os.environ | variables
        if log is None:
            ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            return ended.returncode, ended.stdout + ended.stderr
        with open(log, "ab") as file:  # noqa: PTH123
            return subprocess.run(command, stdout=file, stderr=file, check=False, env=environment).returncode, ""

    return call


def _sum(resources: dict[str, Any]) -> str:
    gpus = int(resources.get("GPU", 0))
    return f"{int(resources.get('CPU', 0))} core(s)" + (f" and {gpus} GPU(s)" if gpus else "")
