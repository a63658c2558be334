"""`manage.py erase_transcripts`: prints a receipt for each meeting it erases."""

import datetime
import json
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet
from django.utils import timezone

from backend.events.models import Event
from backend.meetings.models import Action, Meeting
from backend.retention.erasure import Receipt, erase_meeting, erase_speaker, with_record
from backend.retention.scrubbing import scrub

ACTOR = "command line"


class Command(BaseCommand):
    help = "Erase what was kept of meetings; a receipt in JSON for each."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--meeting", metavar="ID", help="as the API and the admin call it")
        which.add_argument("--event", metavar="SLUG", help="all meetings of this event")
        which.add_argument("--older-than", metavar="DAYS", type=int, help="all that ended before that")
        parser.add_argument(
            "--speaker", metavar="IDENTITY", help="of these meetings, this speaker's lines alone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        meetings = with_record(_meetings(options))
        for meeting in meetings:
            receipt = _erase(meeting, options)
            told = {"meeting": str(meeting.pk), **asdict(receipt), "at": receipt.at.isoformat()}
            self.stdout.write(json.dumps(told))
        scrub()


def _erase(meeting: Meeting, options: dict[str, Any]) -> Receipt:
    if speaker := options["speaker"]:
        return erase_speaker(meeting=meeting, identity=speaker, actor=ACTOR)
    action = Action.ERASE_EVENT if options["event"] else Action.ERASE_MEETING
    return erase_meeting(meeting=meeting, actor=ACTOR, action=action)


def _meetings(options: dict[str, Any]) -> QuerySet[Meeting]:
    if options["older_than"] is not None:
        since = timezone.now() - datetime.timedelta(days=options["older_than"])
        return Meeting.objects.filter(ended_at__lt=since)
    if options["event"]:
        event = Event.objects.filter(slug=options["event"]).first()
        if event is None:
            raise CommandError("no_event: there is no event of this slug")
        return Meeting.objects.filter(event=event)
    try:
        meetings = Meeting.objects.filter(pk=options["meeting"])
    except ValidationError:
        meetings = Meeting.objects.none()
    if not meetings.exists():
        raise CommandError("no_meeting: there is no meeting of this id")
    return meetings
