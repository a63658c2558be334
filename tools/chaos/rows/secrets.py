"""F22: the provider's key, the passphrase that seals it and LiveKit's key are replaced while people speak."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence

from tests.support.deepgram.server import HOST
from tools.chaos.figures import seconds
from tools.chaos.findings import Finding, together
from tools.chaos.lab import Lab, subtitles_path
from tools.chaos.marked import MarkedMeeting
from tools.chaos.processes import LabProcess
from tools.chaos.steadiness import LONGEST_GAP_S, Asked
from tools.chaos.table import Needs, Seen, row

RECONNECTS_WITHIN_S = 5.0
DRAINS_WITHIN_S = 35.0
ASK_EVERY_S = 1.0
STEADY_S = 3.0
PASSPHRASE = "a newer passphrase of the chaos rows, 0123456789"


@row(
    "F22",
    fault="while 2 people talk: the engine's key is revoked and another stored; every process is started again with a "
    "new passphrase and a new LiveKit key beside the old; stored keys are sealed again; the old ones are taken away",
    expected="captions go on or are back ≤ 5 s after a key is stored; stored keys can be read at every step; a new "
    "room works; GET is answered 200 throughout; 0 lost, 0 doubled",
    needs=Needs(engine="scripted", environment=(("ENGINE_ALLOWED_HOSTS", HOST),)),
    timeout_s=400,
)
async def f22(lab: Lab, *, long: bool, short: bool) -> Seen:
    rotation = _Rotation(lab)
    await rotation.store("provider-key-1")
    try:
        async with MarkedMeeting(lab, people=("ada", "ben")) as meeting:
            await meeting.begin()
            async with _asked_throughout(meeting) as asked:
                findings = [await rotation.revoked(meeting, "provider-key-2")]
                findings += await rotation.beside_the_old(meeting)
                if not short:
                    findings += await rotation.without_the_old(meeting)
                    findings.append(await rotation.revoked(meeting, "provider-key-3"))
            await meeting.hush()
            words = await meeting.settled()
            await meeting.stop()
    finally:
        await rotation.undo()
    findings.append(Finding(f"GET {asked.statuses}", asked.are_all(lambda answer: answer.status == 200)))
    return together([*findings, Finding(str(words), words.is_whole)])


class _Rotation:
    """What is there, and what it becomes."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._secrets: dict[str, str] = {}
        """Of every process started from now on, where they differ from the laboratory's."""

    async def store(self, key: str) -> None:
        """As an operator does; the engine takes no other."""
        url = f"http://{HOST}:{self._lab.engine.proxy.port}/v1/listen"
        await self._lab.engine.fail(accepted_key=key)
        await self._lab.manage(
            "set_engine_key", "--engine", "deepgram", "--base-url", url, given=key, **self._secrets
        )

    async def revoked(self, meeting: MarkedMeeting, key: str) -> Finding:
        """The engine ends what it has and refuses the key, until somebody stores another."""
        await asyncio.sleep(STEADY_S)
        await self.store(key)
        stored_at = time.monotonic()
        took_s = max((await meeting.resumed(stored_at, timeout_s=RECONNECTS_WITHIN_S + 10)).values())
        return Finding(f"captions {seconds(took_s)} after the engine's key", took_s <= RECONNECTS_WITHIN_S)

    async def beside_the_old(self, meeting: MarkedMeeting) -> list[Finding]:
        lab = self._lab
        old, new = lab.first_livekit, lab.next_livekit
        passphrases = [PASSPHRASE, lab.passphrase]
        if lab.plant == "lost_passphrase":
            passphrases.pop()
        self._secrets = {
            "API_KEY_ENCRYPTION_KEY": ",".join(passphrases),
            "LIVEKIT_API_KEY": new.api_key,
            "LIVEKIT_API_SECRET": new.api_secret,
            "LIVEKIT_EXTRA_KEYS": f"{old.api_key}:{old.api_secret}",
        }
        gone_on = await self._rolled(meeting, ("backend", "keeper", "subtitles"))
        lab.livekit = new
        other = await _another_room(lab)
        said = await lab.manage("rotate_api_keys", **self._secrets)
        is_rotated = "rotated: 1, already current: 0, unreadable: 0" in said
        return [gone_on, other, Finding(f"sealed again: {said.strip()}", is_rotated)]

    async def without_the_old(self, meeting: MarkedMeeting) -> list[Finding]:
        lab = self._lab
        self._secrets |= {"API_KEY_ENCRYPTION_KEY": PASSPHRASE, "LIVEKIT_EXTRA_KEYS": ""}
        gone_on = await self._rolled(meeting, ("backend", "keeper"))
        token = lab.first_livekit.token(meeting.room, "ada")
        status = (await lab.request("GET", subtitles_path(meeting.room), token)).status
        old = Finding(f"a token of the old key is answered {status}", status == 401)
        return [gone_on, old, await _another_room(lab)]

    async def undo(self) -> None:
        """As the laboratory was; `Lab.mend` starts what this ends."""
        lab = self._lab
        await asyncio.to_thread(lab.query, "DELETE FROM events_enginecredential")
        lab.livekit = lab.first_livekit
        if self._secrets:
            for process in self._all(("subtitles", "keeper", "backend")):
                await asyncio.to_thread(process.stop)

    async def _rolled(self, meeting: MarkedMeeting, kinds: Sequence[str]) -> Finding:
        """One process after the other, each ready before the next goes."""
        began = time.monotonic()
        for process in self._all(kinds):
            process.terminate()
            await asyncio.to_thread(process.wait_ended, DRAINS_WITHIN_S)
            process.start(**self._secrets)
            await asyncio.to_thread(process.wait_ready)
            await self._lab.until(
                self._lab.has_settled, timeout_s=30, what=f"all is well with a new {process.name}"
            )
        await asyncio.sleep(STEADY_S)
        gap_s = max(_longest_gap(meeting, person, since=began) for person in meeting.words)
        return Finding(f"{'/'.join(kinds)} started again: gap {gap_s:.1f} s", gap_s <= LONGEST_GAP_S)

    def _all(self, kinds: Sequence[str]) -> list[LabProcess]:
        return [process for kind in kinds for process in self._lab.processes if process.name.startswith(kind)]


def _longest_gap(meeting: MarkedMeeting, person: str, *, since: float) -> float:
    """Between two captions of somebody who talks on."""
    moments = [since, *(at for at, _ in meeting.shown(person) if at > since), time.monotonic()]
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


async def _another_room(lab: Lab) -> Finding:
    """Whose start has to read the stored key."""
    async with MarkedMeeting(lab, people=("cyd",)) as meeting:
        took_s = await meeting.begin(timeout_s=15)
        engines = {caption.segment.engine for caption in meeting.captions}
        await meeting.stop()
    return Finding(f"another room live after {took_s:.1f} s", engines == {"deepgram"})


@contextlib.asynccontextmanager
async def _asked_throughout(meeting: MarkedMeeting) -> AsyncIterator[Asked]:
    asked = Asked(answers=[])

    async def ask() -> None:
        lab, person = meeting.lab, meeting.speakers[0].identity
        while True:
            token = lab.livekit.token(meeting.room, person)
            asked.answers.append(await lab.request("GET", subtitles_path(meeting.room), token))
            await asyncio.sleep(ASK_EVERY_S)

    asking = asyncio.create_task(ask(), name="ask throughout")
    try:
        yield asked
    finally:
        asking.cancel()
        await asyncio.wait({asking})
