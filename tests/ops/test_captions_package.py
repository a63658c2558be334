"""The captions library, as somebody gets it who installs it into a project of their own."""

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.installation import FRONTEND

pytestmark = pytest.mark.timeout(180)

PACKAGE = FRONTEND / "captions"
NPM_OFFLINE = ("npm", "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts")

USE = """
import { CaptionFeed, attachCaptions, defineRoomCaptions, namesIn } from "roomscribe-captions";
import { NO_CAPTIONS, withSegment } from "roomscribe-captions";
import type { Captions, CaptionedRoom, Segment, Status } from "roomscribe-captions";

export function show(room: CaptionedRoom): () => void {
  defineRoomCaptions();
  const overlay = document.createElement("room-captions");
  overlay.nameOf = namesIn(room);
  return attachCaptions(room, {
    onCaptions: (captions: Captions) => overlay.show(captions),
    onStatus: ({ state, behindMs }: Status) => console.info(state, behindMs?.toFixed()),
  });
}
export const texts = (segments: readonly Segment[]): string[] =>
  segments.reduce(withSegment, NO_CAPTIONS).segments.map(({ text }) => text);
export const feed = new CaptionFeed({});
"""
RUN = """
import { CaptionFeed, RoomCaptionsElement, TOPIC_TRANSCRIPTION } from "roomscribe-captions";

const feed = new CaptionFeed({});
feed.receive({ topic: TOPIC_TRANSCRIPTION, ...JSON.parse(process.argv[2]) });
console.log(JSON.stringify([RoomCaptionsElement.tag, feed.captions.segments.map(({ text }) => text)]));
"""


def run(*command: str, directory: Path) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("packed")
    run("npm", "pack", "--pack-destination", str(directory), directory=PACKAGE)
    [packed] = directory.glob("*.tgz")
    return packed


@pytest.fixture(scope="module")
def project(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty project that has installed it, without a network."""
    directory = tmp_path_factory.mktemp("project")
    (directory / "package.json").write_text(
        json.dumps({"name": "project", "private": True, "type": "module"})
    )
    run(*NPM_OFFLINE, str(tarball), directory=directory)
    yield directory
    shutil.rmtree(directory)


def test_the_package_holds_what_it_needs_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as packed:
        names = {name.removeprefix("package/") for name in packed.getnames()}

    assert {"package.json", "README.md", "LICENSE", "dist/captions.js", "dist/index.d.ts"} <= names
    assert all(
        name.endswith(".d.ts") for name in names if name.startswith("dist/") and name != "dist/captions.js"
    )
    assert not [name for name in names if "test" in name or "page" in name.removesuffix("package.json")]


def test_it_is_imported_where_there_is_no_page_and_reads_captions_there(project: Path) -> None:
    golden = json.loads((FRONTEND.parents[1] / "tests/contract/golden/segments.json").read_text())["interim"]
    received = {
        "senderIdentity": golden["sender"],
        "text": golden["text"],
        "attributes": golden["attributes"],
    }
    (project / "run.js").write_text(RUN)

    answer = run("node", "run.js", json.dumps(received), directory=project)

    assert json.loads(answer) == ["room-captions", [golden["text"]]]


@pytest.mark.parametrize("resolution", ["nodenext", "bundler"])
def test_its_types_are_read_by_a_strict_project_without_livekit(project: Path, resolution: str) -> None:
    (project / "use.ts").write_text(USE)
    options = {
        "strict": True, "noEmit": True, "target": "es2022", "lib": ["es2023", "dom", "dom.iterable"], "types": [],
        "module": "nodenext" if resolution == "nodenext" else "esnext", "moduleResolution": resolution,
    }  # fmt: skip
    config = project / f"tsconfig.{resolution}.json"
    config.write_text(json.dumps({"compilerOptions": options, "files": ["use.ts"]}))

    run(str(FRONTEND / "node_modules/.bin/tsc"), "--project", str(config), directory=project)
