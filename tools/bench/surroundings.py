"""The environment the bench's processes are started with, and what a result must be read with."""

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.support.livekit import ROOT, livekit_binary

PACKAGES = (
    "livekit-agents",
    "livekit",
    "livekit-plugins-deepgram",
    "livekit-plugins-silero",
    "livekit-local-inference",
)
NOT_PASSED_ON = ("LIVEKIT_", "SPEECH_", "WORKER_", "STT_", "SUBTITLES_", "DEEPGRAM_")


def environment(**more: str) -> dict[str, str]:
    """Nothing of what the caller has set for a deployment."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(NOT_PASSED_ON)}
    return {**kept, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": "1", **more}


def described() -> dict[str, object]:
    """Machine, versions, commit, load."""
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain") else ""),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "livekit-server": _livekit_version(),
        **{name: _version(name) for name in PACKAGES},
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }


def _git(*arguments: str) -> str:
    answer = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def _livekit_version() -> str:
    answer = subprocess.run(
        (livekit_binary(), "--version"), capture_output=True, text=True, timeout=20, check=False
    )
    return answer.stdout.strip().rpartition(" ")[2]


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return "not installed"


def sentence(about: dict[str, object]) -> str:
    """All of it, for whoever reads the table."""
    return "; ".join(f"{name} {value}" for name, value in about.items())
