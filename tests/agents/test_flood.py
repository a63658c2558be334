"""Somebody sends everybody a thousand data messages a second."""

from tests.support.clips import at_level, clip, silence
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.stt_double import SttDouble
from tools.chaos import hostile_client
from tools.chaos.rows.hostile import hostile, user_data_dropped

SENTENCE = at_level(clip("slt"), 30_000)[: 4 * 16_000]


async def test_under_a_flood_of_data_messages_every_word_of_the_engine_arrives(
    livekit_server: LiveKitServer, room_name: str, live_room: Viewer, engine: SttDouble
) -> None:
    with user_data_dropped():  # by this process, which has several people in it
        async with Speaker(livekit_server, room_name, "ada") as ada, hostile(livekit_server, room_name, ada):
            await ada.say(SENTENCE)
            await ada.say(silence(1.0))
            # What the engine said last is on its way to the viewer for a moment more.
            await live_room.until(lambda viewer: len(genuine(viewer)) == len(said_by(engine)) > 0)

    assert genuine(live_room) == said_by(engine)


def said_by(engine: SttDouble) -> list[str]:
    """By utterance; nothing before the last one is over."""
    utterances = [utterance for utterance in engine.utterances if utterance.words]
    is_over = utterances and all(utterance.done_at for utterance in utterances)
    return [" ".join(utterance.words) for utterance in utterances] if is_over else []


def genuine(viewer: Viewer) -> list[str]:
    """The finals a client may show: LiveKit sets the sender of whoever is not an agent."""
    return [final.text for final in viewer.finals("ada") if not final.text.startswith(hostile_client.MARK)]
