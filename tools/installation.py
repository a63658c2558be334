"""Put what Roomscribe needs into the project directory: .venv, node_modules, .local/.

Standard library only, because it runs before anything is installed. Each step remembers what it was done
for, so doing it again costs nothing.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin/python"
PIP_INSTALL = (VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
FRONTEND = ROOT / "src/frontend"
LOCAL_BIN = ROOT / ".local/bin"
STAMPS = ROOT / ".local/stamps"

CONTAINED = {"dev": ("run",), "bench": ("dev", "run")}

# 1.13.4 and later cannot be had by `go install`: an untagged dependency or replace directives.
LIVEKIT_VERSION = "1.13.3"
LIVEKIT_MODULE = f"github.com/livekit/livekit-server/cmd/server@v{LIVEKIT_VERSION}"


class CannotInstall(Exception):
    """Its text tells the user what to do."""


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def installing() -> Iterator[None]:
    """One at a time in this checkout."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    with (STAMPS / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another installation into this directory to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install_python_packages(name: str) -> None:
    """`name` is a file of requirements/: `run`, `dev`, which contains it, or `bench`, which contains both."""
    if not VENV_PYTHON.exists():
        say("Creating .venv")
        _create_venv()
    requirements = ROOT / f"requirements/{name}.txt"
    wanted = _digest([requirements])
    if (VENV / f"{name}.installed").exists() and (VENV / f"{name}.installed").read_text() == wanted:
        return
    say(f"Installing Python packages from requirements/{name}.txt (the first time takes minutes)")
    _run(
        [*PIP_INSTALL, "--require-hashes", "-r", requirements],
        failure="pip could not install the Python packages",
    )
    (VENV / f"{name}.installed").write_text(wanted)
    for contained in CONTAINED.get(name, ()):
        (VENV / f"{contained}.installed").write_text(_digest([ROOT / f"requirements/{contained}.txt"]))


def install_livekit() -> Path:
    """livekit-server from PATH, else built once at the pinned version."""
    if found := shutil.which("livekit-server"):
        return Path(found)
    binary = LOCAL_BIN / "livekit-server"
    if binary.exists() and _is_done("livekit", LIVEKIT_VERSION):
        return binary
    if binary.exists() and _version_of(binary) == LIVEKIT_VERSION:
        _done("livekit", LIVEKIT_VERSION)
        return binary
    go = shutil.which("go")
    if go is None:
        raise CannotInstall(
            "livekit-server is not on PATH, and there is no Go to build it: "
            "install livekit-server, or Go 1.26 or newer"
        )
    say(f"Building livekit-server {LIVEKIT_VERSION} with Go (minutes, once)")
    LOCAL_BIN.mkdir(parents=True, exist_ok=True)
    _run(
        [go, "install", LIVEKIT_MODULE],
        failure="Go could not build livekit-server: Go 1.26 or newer is needed, or a livekit-server on PATH",
        GOBIN=str(LOCAL_BIN),
        GOTOOLCHAIN="local",
        GOFLAGS="",
    )
    (LOCAL_BIN / "server").rename(binary)
    _done("livekit", LIVEKIT_VERSION)
    return binary


def build_page() -> None:
    """The page in src/frontend/dist, built again when a source has changed."""
    sources = _digest(_page_sources())
    if (FRONTEND / "dist/index.html").exists() and _is_done("page", sources):
        return
    install_node_packages()
    say("Building the page")
    _run([_npm(), "run", "build"], directory=FRONTEND, failure="the page could not be built")
    _done("page", sources)


def install_node_packages() -> None:
    wanted = _digest([FRONTEND / "package-lock.json"])
    if (FRONTEND / "node_modules").exists() and _is_done("node_modules", wanted):
        return
    say("Installing the page's packages")
    _run(
        [_npm(), "ci", "--no-audit", "--no-fund", "--loglevel=error"],
        directory=FRONTEND,
        failure="npm could not install the page's packages: Node 20 or newer is needed",
    )
    _done("node_modules", wanted)


def _create_venv() -> None:
    try:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        raise CannotInstall(
            f"{sys.executable} cannot create a virtual environment: "
            "on Debian and Ubuntu, apt install python3-venv"
        ) from None


def _npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise CannotInstall("npm is missing: install Node 20 or newer")
    return npm


def _page_sources() -> Iterable[Path]:
    for directory, folders, files in os.walk(FRONTEND):
        # In place, so that os.walk does not descend; sorted, so that the digest is the same each time.
        folders[:] = sorted(set(folders) - {"dist", "node_modules", "test-results"})
        yield from (Path(directory) / name for name in sorted(files))


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _is_done(step: str, what: str) -> bool:
    stamp = STAMPS / step
    return stamp.exists() and stamp.read_text() == what


def _done(step: str, what: str) -> None:
    (STAMPS / step).write_text(what)


def _version_of(livekit: Path) -> str:
    answer = subprocess.run([livekit, "--version"], capture_output=True, text=True, timeout=20, check=False)
    return answer.stdout.strip().rpartition(" ")[2]


def _run(command: list[str | Path], *, failure: str, directory: Path = ROOT, **environment: str) -> None:
    """What the command says is shown only if it fails."""
    with tempfile.TemporaryFile() as output:
        # A process group of its own, so that an interrupt ends the whole of it: npm and Go have children.
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
        if status:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            raise CannotInstall(failure)


def main(arguments: list[str]) -> int:
    try:
        with installing():
            for name in arguments:
                install_python_packages(name)
    except CannotInstall as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
