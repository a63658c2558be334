"""The OpenAPI document, taken at its word: schemathesis against the backend as it is run."""

import asyncio
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.backend.running_backend import ROOT, RunningBackend
from tests.support.livekit import LiveKitServer
from tests.support.people import joined

EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

# A language no engine speaks fits the document and is refused all the same.
NOT_PROMISED: list[CheckFunction] = [checks.positive_data_acceptance]


def not_promised(case: schemathesis.Case) -> list[CheckFunction]:
    """A parameter of a query that nobody knows is not refused."""
    return NOT_PROMISED + ([checks.negative_data_rejection] if case.operation.query else [])


@pytest.fixture(scope="module")
def backend(
    livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBackend]:
    with RunningBackend(tmp_path_factory.mktemp("backend"), livekit_server) as running:
        yield running


@pytest.fixture(scope="module")
def api_schema(backend: RunningBackend) -> OpenApiSchema:
    return schemathesis.openapi.from_url(f"{backend.url}/api/v1.0/schema/?format=json")


@pytest.fixture(scope="module")
def room(backend: RunningBackend) -> Iterator[str]:
    """A room that exists, with ada in it."""
    name, inside, done = f"fuzz-{uuid.uuid4().hex[:8]}", threading.Event(), threading.Event()

    async def stay() -> None:
        async with joined(backend.livekit, name, "ada"):
            inside.set()
            await asyncio.to_thread(done.wait)

    presence = threading.Thread(target=lambda: asyncio.run(stay()), name="ada")
    presence.start()
    assert inside.wait(10)
    yield name
    done.set()
    presence.join()


def answered_as_documented(
    schema: OpenApiSchema, fuzz: Callable[[schemathesis.Case], None], *, least: int = 12
) -> None:
    """`fuzz` with cases of every operation, those that fit the document and those that do not."""
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= least
    for operation in operations:
        EXAMPLES(given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))(fuzz))()
        # Where nothing but a name in the path can vary, no case can be wrong.
        if operation.body or operation.query:
            EXAMPLES(given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))(fuzz))()


def test_what_a_participant_may_send_to_their_own_room_is_answered_as_documented(
    backend: RunningBackend, api_schema: OpenApiSchema, room: str
) -> None:
    rights = {"room_admin": True, "attributes": {"roomscribe.role": "captioner"}}
    headers = {"Authorization": f"Bearer {backend.livekit.token(room, 'ada', **rights)}"}

    def fuzz(case: schemathesis.Case) -> None:
        if "room" in case.path_parameters:
            case.path_parameters["room"] = room
        answer = case.call_and_validate(headers=headers, excluded_checks=not_promised(case))
        assert answer.elapsed < 1

    answered_as_documented(api_schema, fuzz)


def test_what_a_participant_sends_anywhere_is_answered_as_documented(
    backend: RunningBackend, api_schema: OpenApiSchema, room: str
) -> None:
    headers = {"Authorization": f"Bearer {backend.livekit.token(room, 'ada')}"}

    def fuzz(case: schemathesis.Case) -> None:
        answer = case.call_and_validate(headers=headers, excluded_checks=not_promised(case))
        assert answer.elapsed < 1

    answered_as_documented(api_schema, fuzz)


def test_what_anybody_sends_without_a_token_is_answered_as_documented(api_schema: OpenApiSchema) -> None:
    def fuzz(case: schemathesis.Case) -> None:
        assert case.call_and_validate(excluded_checks=not_promised(case)).elapsed < 1

    answered_as_documented(api_schema, fuzz)


MAKE_ACCOUNT = """
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from tests.backend.transcript_rows import made_line, made_meeting
made_line(made_meeting())
print(Token.objects.create(user=User.objects.create_superuser("operator")).key)
"""


def test_what_an_account_sends_is_answered_as_documented(
    backend: RunningBackend, api_schema: OpenApiSchema
) -> None:
    shell = [
        sys.executable,
        str(ROOT / "src/backend/manage.py"),
        "shell",
        "--verbosity",
        "0",
        "-c",
        MAKE_ACCOUNT,
    ]
    environment = backend.environment | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    key = subprocess.run(
        shell, env=environment, check=True, capture_output=True, text=True, timeout=30
    ).stdout
    headers = {"Authorization": f"Token {key.strip()}"}

    def fuzz(case: schemathesis.Case) -> None:
        answer = case.call_and_validate(headers=headers, excluded_checks=not_promised(case))
        assert answer.elapsed < 1

    answered_as_documented(api_schema.include(path_regex="/transcripts/"), fuzz, least=2)
