"""Four people take turns: what is sent to the engine against what was spoken, and whether a word is lost at an edge."""

from tools.bench.captions import OURS, REFERENCE
from tools.bench.lab import Lab
from tools.bench.meeting import Gathered, Meeting, integrity_of, settled
from tools.bench.scenes.meeting import whole_verdict
from tools.bench.table import Form, Measured, Verdict, row, scene

PEOPLE = 4
PAUSE_S = 0.4
HANGOVER_S = 0.55
"""Silence that ends an utterance has to be heard; it is allowed once for each."""


@scene("turns")
async def turns(lab: Lab, form: Form) -> Measured:
    seconds = form.block_s if form.is_short else 6 * form.block_s
    async with lab.contestants(OURS, REFERENCE) as contestants:
        room = await Meeting.opened(lab, people=PEOPLE, contestants=contestants.values())
        await room.take_turns(seconds=form.settle_s, pause_s=PAUSE_S)  # every session has begun
        await settled(room)
        await Gathered.now(lab)
        before = {name: await _sent_s(lab, name) for name in contestants}
        await room.take_turns(seconds=seconds, pause_s=PAUSE_S)
        await settled(room)
        gathered = await Gathered.now(lab)
        sent = {name: await _sent_s(lab, name) - before[name] for name in contestants}
        await room.closed(contestants.values())
    return {
        "spoken_s": sum(utterance.seconds for utterance in gathered.utterances),
        "utterances": len(gathered.utterances),
        "sent_s": sent,
        "integrity": integrity_of(gathered, (OURS, REFERENCE)),
    }


async def _sent_s(lab: Lab, name: str) -> float:
    seen = await lab.engines.seen(name)
    return sum(connection.audio_s for connection in seen.connections)


@row(
    "P8-turns",
    what="engine seconds / seconds spoken, four taking turns",
    goal="≤ 1.15 beyond the hangover, 0 words lost",
    scene="turns",
)
def engine_seconds(measured: Measured, form: Form) -> Verdict:
    hangover_s = HANGOVER_S * measured["utterances"]
    ratio = {name: sent_s / measured["spoken_s"] for name, sent_s in measured["sent_s"].items()}
    beyond = (measured["sent_s"][OURS] - hangover_s) / measured["spoken_s"]
    words = whole_verdict([measured["integrity"]])
    return Verdict(
        f"{beyond:.2f} beyond the hangover ({ratio[OURS]:.2f} with it), reference {ratio[REFERENCE]:.2f}; "
        f"{measured['utterances']} utterances, {measured['spoken_s']:.0f} s; words: {words.text}",
        beyond <= 1.15 and words.ok,
    )
