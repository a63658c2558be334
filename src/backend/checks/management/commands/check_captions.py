"""`manage.py check_captions`: whether captions come, for monitoring. Its exit status is the answer."""

import asyncio
import logging
import signal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Talk in a room of its own until a caption comes; exit 0, or 1 and why. Leaves nothing behind."
    requires_system_checks: list[str] = []  # noqa: RUF012 (Django's name)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--timeout", type=float, default=20.0, help="seconds until a caption (20)")
        parser.add_argument("--clip", type=Path, help="a WAV of speech, mono, 16 bits (the page's)")

    def handle(self, *args: Any, **options: Any) -> None:
        # Of all commands only this one is a participant, and pays for WebRTC.
        from backend.checks.captions import CheckFailed

        logging.getLogger("livekit").setLevel(logging.CRITICAL)
        clip = options["clip"] or Path(settings.WHITENOISE_ROOT or "") / "samples/slt.wav"
        if not clip.is_file():
            raise CommandError("no_clip")
        try:
            steps = asyncio.run(_check(clip=clip, timeout_s=options["timeout"]))
        except CheckFailed as failed:
            raise CommandError(f"{failed.reason}: {failed.steps}") from None
        except asyncio.CancelledError:
            raise CommandError("interrupted") from None
        self.stdout.write(f"ok: {steps}")


async def _check(*, clip: Path, timeout_s: float) -> object:
    from backend.checks.captions import Deployment, check_captions

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    deployment = Deployment(
        livekit_url=settings.LIVEKIT_URL,
        livekit_key=settings.LIVEKIT_API_KEY,
        livekit_secret=settings.LIVEKIT_API_SECRET,
        backend_url=settings.BACKEND_URL,
        is_room_admin=settings.SUBTITLES_POLICY == "room_admin",
        clip=clip,
    )
    return await check_captions(deployment, timeout_s=timeout_s)
