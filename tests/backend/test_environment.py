"""How settings are read, and how much of a body."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from backend.config.body_limit import limited
from backend.config.environment import Environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    """Set in the environment for the length of a test."""
    before = dict(os.environ)
    yield os.environ  # type: ignore[misc]
    os.environ.clear()
    os.environ.update(before)


def test_a_secret_file_may_end_in_a_newline(variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ROOMSCRIBE\n")
    variables["TEST_KEY_FILE"] = str(tmp_path / "key")

    assert Environment(TEST_KEY=(str, ""))("TEST_KEY") == "ROOMSCRIBE"


def test_lists_may_have_blanks_and_pairs_must_be_pairs(variables: dict[str, str]) -> None:
    env = Environment(TEST_LIST=(list, []))
    variables["TEST_LIST"] = "a:1, b:2 ,"

    assert env.names("TEST_LIST") == ["a:1", "b:2"]
    assert env.pairs("TEST_LIST") == {"a": "1", "b": "2"}

    variables["TEST_LIST"] = "a:1,b"
    with pytest.raises(ImproperlyConfigured, match="TEST_LIST"):
        env.pairs("TEST_LIST")


def test_production_does_not_start_without_its_secrets() -> None:
    environment = {"PYTHONPATH": "src", "DJANGO_ENV": "production", "PATH": os.environ["PATH"]}

    check = subprocess.run(
        [sys.executable, "src/backend/manage.py", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert check.returncode != 0
    assert "DJANGO_SECRET_KEY is not set" in check.stderr


@pytest.mark.parametrize(
    ("chunks", "status"), [([b"x" * 10], 200), ([b"x" * 6, b"x" * 6], 413), ([b"x" * 11], 413)]
)
async def test_a_body_that_is_too_large_is_refused_before_anybody_keeps_it(
    chunks: list[bytes], status: int
) -> None:
    sent: list[dict[str, Any]] = []
    last = len(chunks) - 1
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": number < last}
        for number, chunk in enumerate(chunks)
    ]

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await limited(app, max_bytes=10)({"type": "http"}, receive, send)

    assert sent[0]["status"] == status
