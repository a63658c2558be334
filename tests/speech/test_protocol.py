import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech import protocol
from speech.errors import RequestRefused
from speech.limits import MAX_FRAME_BYTES

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
kinds = (
    st.sampled_from(["session.update", "input_audio_buffer.append", "input_audio_buffer.commit"]) | st.text()
)


def append(pcm: bytes) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})


def test_each_event_is_read() -> None:
    assert protocol.parse(append(b"\1\2")) == protocol.Append(pcm=b"\1\2")
    assert protocol.parse('{"type": "input_audio_buffer.commit"}') == protocol.Commit(final=False)
    assert protocol.parse('{"type": "input_audio_buffer.commit", "final": true}') == protocol.Commit(
        final=True
    )
    assert protocol.parse('{"type": "session.update", "model": "m"}') == protocol.SessionUpdate(model="m")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("[]", "invalid_event"),
        ("null", "invalid_event"),
        ("{}", "invalid_event"),
        ('{"type": 5}', "invalid_event"),
        ('{"type": "response.create"}', "unknown_event"),
        ('{"type": "session.update"}', "invalid_event"),
        ('{"type": "session.update", "model": ["m"]}', "invalid_event"),
        ('{"type": "input_audio_buffer.append"}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": ""}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": 5}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "AAA"}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "AA=="}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "é"}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "AAAA\\nAAAA"}', "invalid_audio"),
        (append(bytes(MAX_FRAME_BYTES + 2)), "invalid_audio"),
        ('{"type": "input_audio_buffer.commit", "final": "true"}', "invalid_event"),
        ('{"type": "input_audio_buffer.commit", "final": 1}', "invalid_event"),
    ],
)
def test_what_is_not_an_event_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        protocol.parse(text)
    assert refused.value.refusal.code == code


@given(
    st.builds(
        lambda kind, rest: json.dumps({**rest, "type": kind}), kinds, st.dictionaries(st.text(), json_values)
    )
)
def test_no_json_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        protocol.parse(text)
    except RequestRefused as refused:
        event: dict[str, Any] = json.loads(protocol.error(refused.refusal))
        assert event["type"] == "error"
