"""Background processes that outlive the command that started them.

Each one is remembered in a file: its pid, and what tells it from a later process that got the same
number (the time it started, and the boot this happened in). So `down` never ends a stranger.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path


class Failure(Exception):
    """Something that the person who ran the sandbox must see; no traceback."""


def start(name: str, command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Detached in every respect: a `make` or a pipe that waits for our output must not wait for
    the child, and Ctrl-C in the terminal must not reach it."""
    with open(log_file(folder, name), "wb") as log:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=folder,
                env=environment,
            )
        except OSError as error:
            raise Failure(f"{name}: cannot run {command[0]}: {error.strerror}") from error
    record(name, process.pid, folder)


def record(name: str, pid: int, folder: Path) -> None:
    content = {"pid": pid, "identity": identity(pid)}
    (folder / f"{name}.pid").write_text(json.dumps(content), encoding="utf-8")


def log_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.log"


def identity(pid: int) -> str | None:
    """None when there is no such process, or only its zombie, which a container may never reap."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    state, start_time = fields[0], fields[19]
    return None if state in "ZX" else f"{boot} {start_time}"


def running(name: str, folder: Path) -> int | None:
    """The pid, if the recorded process still is that process."""
    try:
        content = json.loads((folder / f"{name}.pid").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = identity(content["pid"])
    return content["pid"] if found is not None and found == content["identity"] else None


def stop(name: str, folder: Path, patience: float = 5) -> bool:
    """True if there was something to stop."""
    pid = running(name, folder)
    if pid is not None:
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                break
            if wait_until(lambda: running(name, folder) is None, seconds):
                break
        else:
            raise Failure(f"{name}: process {pid} does not end")
    (folder / f"{name}.pid").unlink(missing_ok=True)
    return pid is not None


def wait_until(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for_port(name: str, port: int, folder: Path, seconds: float = 30) -> None:
    """Ends early when the process has died: its log says why."""
    wait_until(lambda: answers(port) or running(name, folder) is None, seconds)
    if running(name, folder) is None:
        raise Failure(f"{name}: ended instead of listening on port {port}\n{tail(folder, name)}")
    if not answers(port):
        raise Failure(f"{name}: not on port {port} after {seconds:.0f} s\n{tail(folder, name)}")


def tail(folder: Path, name: str, lines: int = 15) -> str:
    path = log_file(folder, name)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"  (no log at {path})"
    last = text.splitlines()[-lines:]
    return "\n".join([f"  the end of {path}:", *(f"  | {line}" for line in last)])


def free_ports(wanted: list[int]) -> list[int]:
    """A port for each entry; 0 asks for any. All are held until the last is found, so that no two
    are the same."""
    held = []
    try:
        for number in wanted:
            listener = socket.socket()
            held.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", number))
            except OSError as error:
                raise Failure(f"port {number} is not free: {error.strerror}") from error
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()
