"""The client as somebody gets it who installs it into a project of their own."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.engines.microphone import utterance
from tests.support.livekit import ROOT
from tests.support.scripted_vllm import NORMAL, ScriptedVllm
from tests.vllm_realtime.conftest import KEY

PACKAGE = ROOT / "src/vllm_realtime"
UV = (sys.executable, "-m", "uv", "--quiet")
MODULES = {"__init__.py", "errors.py", "protocol.py", "sockets.py", "stt.py", "py.typed"}
USE = """
import asyncio, sys
from pathlib import Path

from livekit import rtc
from livekit.agents import stt

import vllm_realtime

async def main() -> None:
    base_url, api_key, pcm = sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes()
    engine = vllm_realtime.STT(base_url=base_url, api_key=api_key)
    async with engine.stream() as stream:
        for at in range(0, len(pcm), 640):
            stream.push_frame(rtc.AudioFrame(pcm[at : at + 640], 16_000, 1, 320))
        stream.end_input()
        async for event in stream:
            if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                print(event.alternatives[0].text)
    await engine.aclose()
    print(vllm_realtime.__file__)
    print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("agents", "contract", "tests")))

asyncio.run(main())
"""


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from the sdist alone."""
    folder = tmp_path_factory.mktemp("package")
    source = shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    build = (*UV, "build", "--offline", "--no-build-isolation")
    run(*build, "--python", sys.executable, "--out-dir", str(folder), str(source), cwd=folder)
    return folder


def test_wheel_and_sdist_hold_the_client_and_nothing_else(built: Path) -> None:
    [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        notes = {Path(name).name for name in archive.namelist() if ".dist-info/" in name}
    with tarfile.open(sdist) as archive:
        top = {name.partition("/")[2] for name in archive.getnames()}

    assert inside == {f"vllm_realtime/{name}" for name in MODULES}
    assert "LICENSE" in notes
    assert {"README.md", "LICENSE", "pyproject.toml"} | MODULES <= top


def test_installed_elsewhere_it_transcribes_and_needs_nothing_of_this_project(
    built: Path, tmp_path: Path, vllm: ScriptedVllm
) -> None:
    [wheel] = built.glob("*.whl")
    target, pcm = tmp_path / "elsewhere", tmp_path / "speech.pcm"
    pcm.write_bytes(utterance(1, 2, 3).tobytes())
    install = (*UV, "pip", "install", "--offline", "--no-deps", "--python", sys.executable)
    run(*install, "--target", str(target), str(wheel), cwd=tmp_path)
    said, imported_from, ours = run(
        sys.executable, "-c", USE, vllm.url, KEY, str(pcm), cwd=tmp_path, PYTHONPATH=str(target)
    ).split("\n")[:3]

    assert said == "w001 w002 w003"
    assert Path(imported_from).is_relative_to(target)
    assert ours == ""
    assert [session.close_code for session in vllm.sessions] == [NORMAL]
