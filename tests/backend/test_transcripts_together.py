"""A reader beside writers that come at once, on whichever database the suite runs on."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from backend.meetings.models import Meeting
from backend.meetings.services import locked
from backend.transcripts.models import Line
from backend.transcripts.pages import Wanted, page_of
from tests.backend.transcript_rows import made_line, made_meeting

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 6
EACH = 15


def test_a_reader_that_goes_on_from_its_cursor_skips_no_change_that_is_committed_later() -> None:
    meeting = made_meeting()
    are_done = threading.Event()

    def write(number: int) -> None:
        chance = random.Random(number)
        try:
            for _ in range(EACH):
                with locked(meeting) as held:
                    line = made_line(held, speaker=f"speaker-{number}")
                    # The later its number was taken, the sooner it would be committed, were it not for the lock.
                    time.sleep(chance.random() * 0.004 / line.change)
        finally:
            connection.close()

    def read() -> list[int]:
        seen: list[int] = []
        try:
            while True:
                is_last_look = are_done.is_set()
                page = page_of(meeting.lines.all(), Wanted(since=seen[-1] if seen else 0, limit=7))
                seen += [segment["change"] for segment in page.segments]
                if is_last_look and not page.segments:
                    return seen
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS + 1) as threads:
        reading = threads.submit(read)
        try:
            for writing in [threads.submit(write, number) for number in range(WRITERS)]:
                writing.result()
        finally:
            are_done.set()
        seen = reading.result()

    assert seen == list(range(1, WRITERS * EACH + 1))
    assert Line.objects.count() == WRITERS * EACH
    assert Meeting.objects.get().last_change == WRITERS * EACH
