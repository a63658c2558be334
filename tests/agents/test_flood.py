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
            await live_room.until(lambda viewer: genuine(viewer) and engine.utterances[-1].done_at)

    said = " ".join(word for utterance in engine.utterances for word in utterance.words)
    assert said
    assert " ".join(genuine(live_room)) == said


def genuine(viewer: Viewer) -> list[str]:
    """The finals a client may show: LiveKit sets the sender of whoever is not an agent."""
    return [final.text for final in viewer.finals("ada") if not final.text.startswith(hostile_client.MARK)]
