"""`make test`, `make lint`, `make bench`, `make chaos`: install what they need and run it.

`make test` runs every check, whatever fails, and ends with one line that counts the tests. Where hardly anything has
failed that is run once more, by itself, and named: a machine that others use starves a test of seconds now and then.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools import installation
from tools.installation import FRONTEND, ROOT, VENV_PYTHON, CannotInstall, say

REPORTS = ROOT / ".local/reports"
AGAIN = "-again"
PYTHON = str(VENV_PYTHON)


@dataclass(frozen=True, kw_only=True)
class SystemPackage:
    """What the tests need of the system; `packages` are its names on Debian and Ubuntu, the first known one counts."""

    name: str
    is_there: Callable[[], bool]
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Check:
    name: str
    command: tuple[str, ...]
    directory: Path = ROOT
    counts_tests: bool = False
    again: tuple[str, ...] = ()
    """Runs what has failed of it, and nothing else."""


@dataclass(kw_only=True)
class Tests:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failed_checks: list[str] = field(default_factory=list)
    to_try_again: list[tuple[Check, int]] = field(default_factory=list)
    """With how many of its tests have failed."""
    shaky: list[str] = field(default_factory=list)


def on_path(*commands: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(command) for command in commands)


def postgres_is_there() -> bool:
    return bool(shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")))


SYSTEM_PACKAGES = (
    SystemPackage(
        name="Chromium",
        is_there=on_path("chromium", "chromium-browser", "google-chrome"),
        packages=("chromium", "chromium-browser"),
    ),
    SystemPackage(name="PostgreSQL", is_there=postgres_is_there, packages=("postgresql",)),
    SystemPackage(name="Redis", is_there=on_path("redis-server"), packages=("redis-server",)),
    SystemPackage(name="ffmpeg", is_there=on_path("ffmpeg"), packages=("ffmpeg",)),
)

LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"

LINT = (
    Check(name="style", command=(PYTHON, "-m", "ruff", "check", "src", "tests", "tools")),
    Check(
        name="format", command=(PYTHON, "-m", "ruff", "format", "--check", "--quiet", "src", "tests", "tools")
    ),
    Check(name="import contracts", command=(PYTHON, "-c", LINT_IMPORTS)),
    Check(name="types", command=(PYTHON, "-m", "mypy")),
    Check(name="types of the page", command=("npm", "run", "--silent", "typecheck"), directory=FRONTEND),
)


def pytest(name: str, *arguments: str, inside: tuple[str, ...] = ()) -> Check:
    cache = f"--override-ini=cache_dir={REPORTS / name}.cache"
    command = (*inside, PYTHON, "-m", "pytest", cache, *arguments)
    return Check(
        name=name,
        command=(*command, f"--junit-xml={REPORTS / name}.xml"),
        counts_tests=True,
        again=(
            *command,
            "--last-failed",
            "--last-failed-no-failures=none",
            f"--junit-xml={REPORTS / name}{AGAIN}.xml",
        ),
    )


MOST_TRIED_AGAIN = 5
"""If more of a check has failed, it is not for want of time."""

AGENTS = "tests/agents"
BACKEND = "tests/backend"
SOAK = "tests/system/test_soak.py"
ON_POSTGRESQL_AND_REDIS = (PYTHON, "-m", "tests.support.postgres", PYTHON, "-m", "tests.support.redis")

TESTS = (
    Check(
        name="page",
        command=(
            "npx",
            "vitest",
            "run",
            "--reporter=default",
            "--reporter=junit",
            f"--outputFile={REPORTS}/page.xml",
        ),
        directory=FRONTEND,
        counts_tests=True,
    ),
    pytest("agents", AGENTS),
    pytest("everything-else", f"--ignore={AGENTS}", f"--ignore={BACKEND}", f"--ignore={SOAK}"),
    pytest("soak", SOAK),
)
# Beside each other: each of them mostly waits. The soak takes a core and a half.
BACKEND_TESTS = pytest("backend", BACKEND)
BACKEND_TESTS_ON_POSTGRESQL_AND_REDIS = pytest(
    "backend-on-postgresql-and-redis", BACKEND, inside=ON_POSTGRESQL_AND_REDIS
)


def lint() -> int:
    with installation.installing():
        installation.install_python_packages("dev")
        installation.install_node_packages()
    results = Tests()
    for check in LINT:
        run(check, results)
    return summary(results, took_s=None)


def test() -> int:
    install_system_packages()
    install_for_tests()
    if not os.environ.get("SPEECH_DIR"):
        say("SPEECH_DIR is not set: tests on real human speech are not collected")
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    started = time.monotonic()
    results = Tests()
    for check in (*LINT, *TESTS):
        run(check, results)
    with beside(BACKEND_TESTS, results):
        run(BACKEND_TESTS_ON_POSTGRESQL_AND_REDIS, results)
    try_again(results)
    return summary(results, took_s=time.monotonic() - started)


BENCHES = {
    "rooms": "tools.bench",
    "speech": "tools.bench_speech",
    "room": "tools.bench_room",
    "start": "tools.bench_start",
    "paint": "tools.bench_paint",
    "transcripts": "tools.bench_transcripts",
    "history": "tools.bench_history",
}


def bench() -> int:
    """BENCH=rooms, the default: the comparison, under 25 minutes; others by name and comma, or `all` of them.

    What the comparison reads of the environment stands in tools/bench/__main__.py.
    """
    wanted = os.environ.get("BENCH") or "rooms"
    names = list(BENCHES) if wanted == "all" else [name.strip() for name in wanted.split(",")]
    if unknown := [name for name in names if name not in BENCHES]:
        raise CannotInstall(f"BENCH: {', '.join(unknown)} is not one of {', '.join(BENCHES)}, all")
    install_for_tests("bench")
    statuses = [
        subprocess.run(
            (PYTHON, "-W", "ignore", "-m", BENCHES[name]), cwd=ROOT, env=environment(), check=False
        ).returncode
        for name in names
    ]
    return max(statuses, key=abs)


def chaos() -> int:
    """Under 22 minutes; what it reads of the environment stands in tools/chaos/__main__.py."""
    not_needed = ("Chromium", "ffmpeg")
    install_system_packages([package for package in SYSTEM_PACKAGES if package.name not in not_needed])
    install_for_tests()
    command = (PYTHON, "-W", "ignore", "-m", "tools.chaos")
    return subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode


def install_for_tests(packages: str = "dev") -> None:
    """`packages`: a file of requirements/ that holds what the tests need."""
    with installation.installing():
        installation.install_python_packages(packages)
        installation.install_livekit()
        installation.install_node_packages()
        installation.build_page()


def install_system_packages(needed: Iterable[SystemPackage] = SYSTEM_PACKAGES) -> None:
    """On Debian or Ubuntu as root; elsewhere it names what is missing and stops."""
    missing = [package for package in needed if not package.is_there()]
    if not missing:
        return
    names = ", ".join(package.name for package in missing)
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise CannotInstall(f"The tests need {names}: install and try again")
    say(f"Installing {names} with apt-get, which the tests need")
    apt("update")
    apt("install", "--no-install-recommends", *(known_package(package) for package in missing))


def apt(*arguments: str) -> None:
    command = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", "-y", *arguments]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False).returncode:
        raise CannotInstall(f"apt-get {arguments[0]} failed")


def known_package(package: SystemPackage) -> str:
    for name in package.packages[:-1]:
        answer = subprocess.run(
            ["apt-cache", "policy", name], capture_output=True, text=True, check=False
        ).stdout
        if "Candidate:" in answer and "Candidate: (none)" not in answer:
            return name
    return package.packages[-1]


def run(check: Check, results: Tests) -> None:
    say(f"\n── {check.name}")
    ended = subprocess.run(check.command, cwd=check.directory, check=False, env=environment())
    note(check, results, failed=ended.returncode != 0)


@contextmanager
def beside(check: Check, results: Tests) -> Iterator[None]:
    """It runs meanwhile; what it says comes after."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            check.command, cwd=check.directory, env=environment(), stdout=said, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            failed = process.wait() != 0
            said.seek(0)
            say(f"\n── {check.name}\n{said.read()}")
    note(check, results, failed=failed)


def note(check: Check, results: Tests, *, failed: bool) -> None:
    failed_before = results.failed
    if check.counts_tests:
        failed |= not count(REPORTS / f"{check.name}.xml", results)
    if failed:
        results.failed_checks.append(check.name)
    failures = results.failed - failed_before
    if check.again and 0 < failures <= MOST_TRIED_AGAIN:
        results.to_try_again.append((check, failures))


def try_again(results: Tests) -> None:
    """What passes by itself, as often as it failed beside the others, has passed."""
    for check, failures in results.to_try_again:
        say(f"\n── {check.name}, what failed, again")
        ended = subprocess.run(check.again, cwd=check.directory, check=False, env=environment())
        counted = Tests()
        has_run = count(REPORTS / f"{check.name}{AGAIN}.xml", counted)
        if ended.returncode == 0 and has_run and counted.passed == failures:
            results.failed_checks.remove(check.name)
            results.failed -= failures
            results.passed += failures
            results.shaky.append(check.name)


def environment() -> dict[str, str]:
    # Import-linter takes the import root from here; pytest and mypy know it from pyproject.toml.
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def count(report: Path, results: Tests) -> bool:
    """False for a run that wrote no report, tested nothing or left something out."""
    if not report.exists():
        return False
    suites = list(xml.etree.ElementTree.parse(report).getroot().iter("testsuite"))
    tests, failed, skipped = (
        sum(int(suite.get(name) or 0) for suite in suites for name in names)
        for names in (("tests",), ("failures", "errors"), ("skipped",))
    )
    results.failed += failed
    results.skipped += skipped
    results.passed += tests - failed - skipped
    return tests > 0 and not skipped


def summary(results: Tests, *, took_s: float | None) -> int:
    for name in results.shaky:
        say(f"SHAKY {name}: what failed passed when it was run again by itself")
    for name in results.failed_checks:
        say(f"FAILED {name}")
    if took_s is None:
        say("" if results.failed_checks else "All checks passed")
    else:
        counts = {"failed": results.failed, "passed": results.passed, "skipped": results.skipped}
        told = ", ".join(f"{number} {what}" for what, number in counts.items() if number) or "no tests ran"
        say(f"\n==== {told} in {took_s:.2f}s ====")
    return 1 if results.failed_checks else 0


def main(arguments: list[str]) -> int:
    try:
        return {"lint": lint, "test": test, "bench": bench, "chaos": chaos}[arguments[0]]()
    except CannotInstall as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
