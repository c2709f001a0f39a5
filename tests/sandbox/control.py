"""Brings the sandbox's parts up and down; `sandbox` is its front and gets the machine ready for it.

Needs nothing but Python's standard library, because it also runs before the venv exists.

usage: control.py missing | healthy | up | down | status      (SANDBOX_STATE names the state folder)
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import engine
import tls
from processes import (
    Failure,
    free_ports,
    log_file,
    running,
    start,
    stop,
    tail,
    wait_for_port,
)

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ["SANDBOX_STATE"])
RUN = STATE / "run"  # pid files, logs, settings, the registries' data
ENGINE = STATE / "docker"
VENV = STATE / "venv"
ENV_FILE = STATE / "env"

REGION = "eu-central-1"
BUILD = "111111111111"
OURTHING = "022222222222"  # the leading zero is lost where an account id is read as a number
EXTERNAL_ID = "some_key_build"
PARTS = ("aws", "registry-build", "registry-ourthing")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- what the machine has ------------------------------------------------------------------------


def foreign_docker() -> str | None:
    """The socket of a daemon that is not ours and answers. Only unix sockets: a daemon elsewhere
    could not reach registries on this machine's loopback."""
    host = os.environ.get("DOCKER_HOST", "")
    own = str(engine_run_folder() / "docker.sock")
    for url in (host, "unix:///var/run/docker.sock"):
        path = url.removeprefix("unix://")
        if url.startswith("unix://") and path != own and engine.ping(path):
            return path
    return None


def missing_packages() -> list[str]:
    wanted = {
        "docker-registry": shutil.which("docker-registry"),
        "apache2-utils": shutil.which("htpasswd"),
        "openssl": shutil.which("openssl"),
        # Debian's python3 has venv, but not what it needs to work.
        "python3-venv": (VENV / "stamp").exists() or importlib.util.find_spec("ensurepip"),
        # For the case of a daemon behind ssh; the tests start their own sshd.
        "openssh-server": os.path.exists("/usr/sbin/sshd"),
        "openssh-client": shutil.which("ssh"),
        "docker.io": shutil.which("dockerd") or foreign_docker(),
    }
    return [package for package, found in wanted.items() if not found]


def root_prefix() -> list[str]:
    """How to run a command as root. Empty for root itself."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        if sys.stdin.isatty():
            return ["sudo"]
        if subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
            return ["sudo", "-n"]
    raise Failure(
        "no Docker Engine answers on /var/run/docker.sock, and starting one takes root.\n"
        "Start one (Debian: apt-get install docker.io) and join the group `docker`, or run this "
        "as root or with sudo."
    )


# --- the parts -----------------------------------------------------------------------------------


def quiet_environment() -> dict[str, str]:
    """The developer's own AWS settings and proxies must not reach the sandbox's programs."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "MOTO_", "PYTHON")) and not name.lower().endswith("_proxy")
    }
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return kept | nowhere | {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONUNBUFFERED": "1"}


def new_password() -> str:
    """Like ECR's: base64 and so without a colon, which the AWS CLI counts on, and ending in `=`. bcrypt reads no
    more than 72 bytes; ECR's are longer."""
    return base64.b64encode(secrets.token_bytes(47)).decode()


def start_registry(name: str, port: int, password: str) -> None:
    users = subprocess.run(
        ["htpasswd", "-niBC", "4", "AWS"], input=password, capture_output=True, text=True
    )
    if users.returncode != 0:
        raise Failure(f"{name}: htpasswd failed: {users.stderr.strip()}")
    folder = RUN / name
    folder.mkdir(mode=0o700)
    (folder / "htpasswd").write_text(users.stdout, encoding="utf-8")
    config = {  # JSON is YAML
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
        },
        "auth": {
            "htpasswd": {"realm": f"http://127.0.0.1:{port}/", "path": str(folder / "htpasswd")}
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": secrets.token_hex(16)},
    }
    (folder / "config.yml").write_text(json.dumps(config, indent=2), encoding="utf-8")
    # Without the rest of the environment: every REGISTRY_... variable would change the settings.
    path = {"PATH": os.environ["PATH"]}
    start(name, ["docker-registry", "serve", str(folder / "config.yml")], RUN, path)


def start_aws(port: int, registries: dict[str, dict[str, str]]) -> None:
    config = RUN / "aws.json"
    config.write_text(json.dumps({"registries": registries}), encoding="utf-8")
    environment = quiet_environment() | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
    command = [str(VENV / "bin/python"), str(HERE / "aws.py"), str(config), str(port)]
    start("aws", command, RUN, environment)


def engine_run_folder() -> Path:
    """Where the engine's sockets are: in the state folder, unless its path is too long for them."""
    note = STATE / "short-folder"
    if len(str(STATE)) <= 60:
        return STATE
    if note.exists():
        return Path(note.read_text(encoding="utf-8"))
    folder = tempfile.mkdtemp(prefix="crossdock-sandbox-", dir="/tmp")
    note.write_text(folder, encoding="utf-8")
    return Path(folder)


def run_engine(verb: str, *more: str) -> None:
    command = [sys.executable, "-B", str(HERE / "engine.py"), verb, str(ENGINE)]
    command += [str(engine_run_folder()), *more]
    done = subprocess.run(root_prefix() + command, stdout=sys.stderr)
    if done.returncode != 0:
        raise Failure(f"the Docker Engine did not {verb}")


def python(script: str, *arguments: str, **environment: str) -> str:
    """Runs one of our scripts in the venv, without leaving bytecode beside it."""
    done = subprocess.run(
        [str(VENV / "bin/python"), "-B", str(HERE / script), *arguments],
        env=quiet_environment() | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise Failure(f"{script} failed:\n{done.stderr.strip()}\n{tail(RUN, 'aws')}")
    return done.stdout


# --- up and down ---------------------------------------------------------------------------------


def bring_up() -> dict[str, str]:
    docker = foreign_docker()
    started = docker is None
    if started:
        root_prefix()  # fails before anything is started
    for folder in (RUN, STATE / "tls"):
        folder.mkdir(mode=0o700, exist_ok=True)
    names = ("SANDBOX_AWS_PORT", "SANDBOX_BUILD_REGISTRY_PORT", "SANDBOX_OURTHING_REGISTRY_PORT")
    ports = free_ports([int(os.environ.get(name) or 0) for name in names])
    aws_port, build_port, ourthing_port = ports
    registries = {
        BUILD: {"host": f"127.0.0.1:{build_port}", "password": new_password()},
        OURTHING: {"host": f"127.0.0.1:{ourthing_port}", "password": new_password()},
    }

    # The AWS side takes longest to start, so everything else happens meanwhile.
    start_aws(aws_port, registries)
    start_registry("registry-build", build_port, registries[BUILD]["password"])
    start_registry("registry-ourthing", ourthing_port, registries[OURTHING]["password"])
    tls.make(STATE / "tls")
    if started:
        run_engine("start", str(os.getegid()))
        docker = str(engine_run_folder() / "docker.sock")
    for part, port in zip(PARTS, ports):
        wait_for_port(part, port, RUN)

    settings = {
        "endpoint": f"http://127.0.0.1:{aws_port}",
        "region": REGION,
        "build": BUILD,
        "ourthing": OURTHING,
        "external_id": EXTERNAL_ID,
    }
    (RUN / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    keys = json.loads(python("seed.py", str(RUN / "settings.json")))

    role = f"arn:aws:iam::{OURTHING}:role/OurThing"
    env = {
        "AWS_ENDPOINT": settings["endpoint"],
        "REGION": REGION,
        "BUILD_ACCOUNT": BUILD,
        "OURTHING_ACCOUNT": OURTHING,
        "ROLE_ARN": f"{role}BuildRole",
        "EXTERNAL_ID": EXTERNAL_ID,
        "OPEN_ROLE_ARN": f"{role}OpenRole",
        "NO_ECR_ROLE_ARN": f"{role}NoEcrRole",
        "BUILD_REGISTRY": registries[BUILD]["host"],
        "OURTHING_REGISTRY": registries[OURTHING]["host"],
        "BUILD_REGISTRY_PASSWORD": registries[BUILD]["password"],
        "OURTHING_REGISTRY_PASSWORD": registries[OURTHING]["password"],
        "DOCKER_HOST": f"unix://{docker}",
        "DOCKER_STARTED": "1" if started else "0",
        "VENV": str(VENV),
        "TLS_DIR": str(STATE / "tls"),
    }
    for user, key in keys.items():
        env[f"{user.upper()}_ACCESS_KEY_ID"] = key["id"]
        env[f"{user.upper()}_SECRET_ACCESS_KEY"] = key["secret"]
    env = {f"SANDBOX_{name}": value for name, value in env.items()}
    python("check.py", **env)
    return env


def write_env(env: dict[str, str]) -> None:
    """Last of all: who finds this file finds a sandbox that works."""
    (RUN / "sources").write_text(sources(), encoding="utf-8")
    lines = [f"export {name}='{value}'\n" for name, value in sorted(env.items())]
    fresh = STATE / "env.new"
    fresh.touch(mode=0o600)
    fresh.write_text("".join(lines), encoding="utf-8")
    fresh.rename(ENV_FILE)


def read_env() -> dict[str, str]:
    if not ENV_FILE.exists():
        return {}
    pairs = (line.partition("=") for line in ENV_FILE.read_text(encoding="utf-8").splitlines())
    return {name.removeprefix("export "): value.strip("'") for name, _, value in pairs}


def sources() -> str:
    """A sandbox that was started from other sources is not the one that is wanted."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("*.py"), HERE / "requirements.txt"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def part_states(env: dict[str, str]) -> dict[str, str]:
    """Each part's state; all of them say `up` when the sandbox is healthy."""
    urls = {
        "aws": f"{env.get('SANDBOX_AWS_ENDPOINT')}/moto-api/config",
        "registry-build": f"http://{env.get('SANDBOX_BUILD_REGISTRY')}/v2/",
        "registry-ourthing": f"http://{env.get('SANDBOX_OURTHING_REGISTRY')}/v2/",
    }
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    states = {}
    for part in PARTS:
        states[part] = "up"
        if running(part, RUN) is None:
            states[part] = "not running"
            continue
        try:
            direct.open(urls[part], timeout=3).close()
        except urllib.error.HTTPError:
            pass  # an answer all the same: the registries say 401
        except (OSError, ValueError):
            states[part] = "running, but does not answer"
    docker = env.get("SANDBOX_DOCKER_HOST", "").removeprefix("unix://")
    states["docker"] = "up" if docker and engine.ping(docker) else "does not answer"
    return states


def healthy() -> bool:
    env = read_env()
    recorded = RUN / "sources"
    if not env or not recorded.exists() or recorded.read_text(encoding="utf-8") != sources():
        return False
    return all(state == "up" for state in part_states(env).values())


def take_down() -> bool:
    """The logs stay until the next `up`, to be read after a failure."""
    stopped = [stop(part, RUN) for part in PARTS]
    had_engine = ENGINE.exists()
    if had_engine:
        run_engine("stop")
    folder = engine_run_folder()
    if folder != STATE:
        shutil.rmtree(folder, ignore_errors=True)
        (STATE / "short-folder").unlink(missing_ok=True)
    ENV_FILE.unlink(missing_ok=True)
    shutil.rmtree(STATE / "tls", ignore_errors=True)
    if RUN.exists():
        for path in RUN.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix != ".log":
                path.unlink()
    return had_engine or any(stopped)


def up() -> None:
    began = time.monotonic()
    if take_down():
        say("sandbox: what was left of the last one is taken down")
    try:
        env = bring_up()
        write_env(env)
    except BaseException:  # Ctrl-C too: half a sandbox helps nobody
        try:
            take_down()
        except Failure as failure:  # the first failure is the one to be told
            say(f"sandbox: and it could not be taken down: {failure}")
        raise
    say(f"sandbox: up after {time.monotonic() - began:.1f} s")
    status()


def status() -> bool:
    env = read_env()
    if not env:
        print("sandbox: not up")
        return False
    places = {
        "aws": env["SANDBOX_AWS_ENDPOINT"],
        "registry-build": env["SANDBOX_BUILD_REGISTRY"],
        "registry-ourthing": env["SANDBOX_OURTHING_REGISTRY"],
        "docker": env["SANDBOX_DOCKER_HOST"],
    }
    states = part_states(env)
    for part, state in states.items():
        log = "" if part == "docker" else f"  log: {log_file(RUN, part)}"
        print(f"  {part:18} {state:12} {places[part]}{log}")
    print(f"  settings: {ENV_FILE}")
    return all(state == "up" for state in states.values())


def main() -> int:
    verb = sys.argv[1]
    try:
        if verb == "missing":
            print("\n".join(missing_packages()))
        elif verb == "healthy":
            return 0 if healthy() else 1
        elif verb == "up":
            up()
        elif verb == "down":
            say("sandbox: taken down" if take_down() else "sandbox: nothing was up")
        elif verb == "status":
            return 0 if status() else 1
    except Failure as failure:
        say(f"sandbox: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
