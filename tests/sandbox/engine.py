"""A Docker Engine of the sandbox's own, for machines where none runs.

Only root can do this, so it is a command of its own that may be run through sudo. It leaves the
machine as it found it: dockerd itself leaves bridges, firewall rules and IP forwarding behind.

usage: engine.py start STATE RUN GROUP | engine.py stop STATE RUN
  STATE  the engine's folder: data, logs, what was there before
  RUN    a folder with a short path, because sockets live in it (their paths end at 107 bytes)
  GROUP  the numeric group that may use the socket
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

from processes import Failure, identity, running, start, stop, tail, wait_until

# The first that works is taken. Containers have no network of their own without a bridge; that is
# worth having still, because pushing needs none.
FIREWALLS = (
    [],
    ["--iptables=false", "--ip6tables=false"],
    ["--iptables=false", "--ip6tables=false", "--bridge=none"],
)
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}")


def call(socket_path: str, method: str, path: str, body: dict | None = None) -> int:
    """The status that the daemon answers with; 0 if it does not."""
    connection = http.client.HTTPConnection("localhost", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(5)
    content = None if body is None else json.dumps(body)
    try:
        connection.sock.connect(socket_path)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def ping(socket_path: str) -> bool:
    return call(socket_path, "GET", "/_ping") == 200


def start_engine(state: Path, run: Path, group: str) -> None:
    state.mkdir(mode=0o700, exist_ok=True)
    (state / "before.json").write_text(json.dumps(what_is_there()), encoding="utf-8")
    # Not the machine's own daemon.json: it may name hosts, and then ours are a conflict.
    (state / "daemon.json").write_text("{}", encoding="utf-8")
    for firewall in FIREWALLS:
        command = ["dockerd", "--config-file", f"{state}/daemon.json"]
        command += ["--data-root", f"{state}/data", "--exec-root", f"{run}/exec"]
        command += ["-p", f"{state}/docker.pid", "-H", f"unix://{run}/docker.sock"]
        command += ["--group", group, *firewall]
        start("dockerd", command, state, dict(os.environ))
        wait_until(
            lambda: ping(f"{run}/docker.sock") or running("dockerd", state) is None, seconds=60
        )
        if ping(f"{run}/docker.sock"):
            return
        stop("dockerd", state)
    raise Failure(f"dockerd does not answer on {run}/docker.sock\n{tail(state, 'dockerd')}")


def stop_engine(state: Path, run: Path) -> None:
    # It ends its containers itself when asked gently, and gives each 10 s.
    stop("dockerd", state, patience=30)
    end_leftovers(f"{run}/exec/")
    for point in mounts_below(state, run):
        if subprocess.run(["umount", point], capture_output=True).returncode != 0:
            subprocess.run(["umount", "--lazy", point], capture_output=True)
    if left := mounts_below(state, run):
        raise Failure(f"cannot unmount {left[0]}; {state} is left as it is")
    restore_network(state)
    shutil.rmtree(run / "exec", ignore_errors=True)
    (run / "docker.sock").unlink(missing_ok=True)
    shutil.rmtree(state, ignore_errors=True)


def end_leftovers(exec_root: str) -> None:
    """A dockerd that was killed leaves its containers and their shims. They are ours when they
    name our folder; their children are the containers."""
    parents: dict[int, int] = {}
    doomed: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            status = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(status[1])
        program = os.path.basename(arguments[0].decode(errors="replace"))
        named = any(
            argument.decode(errors="replace").startswith(exec_root) for argument in arguments
        )
        if named and program.startswith(("containerd", "runc")):
            doomed.add(int(entry.name))
    while children := {p for p, parent in parents.items() if parent in doomed} - doomed:
        doomed |= children
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_until(lambda: all(identity(pid) is None for pid in doomed), seconds=5)


def mounts_below(*folders: Path) -> list[str]:
    """Innermost first. The kernel writes spaces in paths as octal."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split()[4].replace(r"\040", " ") for line in lines]
    prefixes = tuple(f"{folder}/" for folder in folders)
    return sorted((point for point in points if point.startswith(prefixes)), reverse=True)


# --- the network, as it was ---------------------------------------------------------------------


def bridges() -> list[str]:
    names = (name for _, name in socket.if_nameindex())
    return [name for name in names if BRIDGE.fullmatch(name)]


def rules(family: str) -> str:
    try:
        return subprocess.run([f"{family}-save"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def what_is_there() -> dict:
    return {
        "bridges": bridges(),
        "forwarding": FORWARDING.read_text(encoding="ascii"),
        "rules": {family: rules(family) for family in ("iptables", "ip6tables")},
    }


def restore_network(state: Path) -> None:
    try:
        before = json.loads((state / "before.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for name in set(bridges()) - set(before["bridges"]):
        delete_bridge(name)
    for family, old in before["rules"].items():
        # Another engine's rules look like ours: where one had been, nothing is touched.
        if "DOCKER" not in old:
            remove_docker_rules(family, old)
    if FORWARDING.read_text(encoding="ascii") != before["forwarding"]:
        FORWARDING.write_text(before["forwarding"], encoding="ascii")


def remove_docker_rules(family: str, old: str) -> None:
    """Only Docker's: what others added since is kept. dockerd also turns the policy of FORWARD to
    DROP, which is taken back."""
    now = rules(family)
    if "DOCKER" not in now:
        return
    kept = [line for line in now.splitlines() if "DOCKER" not in line and not BRIDGE.search(line)]
    text = "\n".join(kept) + "\n"
    policy = re.search(r"^:FORWARD (\w+)", old, re.MULTILINE)
    text = re.sub(
        r"^:FORWARD \w+", f":FORWARD {policy[1] if policy else 'ACCEPT'}", text, flags=re.MULTILINE
    )
    subprocess.run([f"{family}-restore"], input=text, text=True, capture_output=True)


def delete_bridge(name: str) -> None:
    """By ioctl, because a small Debian has no `ip`."""
    set_flags, delete = 0x8914, 0x89A1  # SIOCSIFFLAGS, SIOCBRDELBR
    with socket.socket() as channel:
        try:
            fcntl.ioctl(channel, set_flags, struct.pack("16sH22x", name.encode(), 0))
            fcntl.ioctl(channel, delete, struct.pack("16s", name.encode()))
        except OSError as error:
            print(f"cannot remove the bridge {name}: {error.strerror}", file=sys.stderr)


def main() -> None:
    verb, state, run, *group = sys.argv[1:]
    try:
        if verb == "start":
            start_engine(Path(state), Path(run), group[0])
        else:
            stop_engine(Path(state), Path(run))
    except Failure as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
