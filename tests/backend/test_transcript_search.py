"""The full-text index of whichever database the suite runs on."""

import contextlib
import time

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from backend.errors import InvalidQuery
from backend.transcripts.models import Line
from backend.transcripts.search import MAX_QUERY_CHARS, forget_deleted, matching
from tests.backend.transcript_rows import made_line, made_lines, made_meeting

SAID = {
    "paris": "“École” de Paris… c'est l'été, n'est-ce pas ?",
    "mail": "Write to foo@example.org or see https://example.org/a?b=c, room 3.14!",
    "tokyo": "会議を始めます。AIの話です。",
    "delhi": "हिन्दी में बात करते हैं।",
    "bangkok": "สวัสดีครับทุกคน",
    "moscow": "ПРИВЕТ, мир — это тест",
    "seoul": "안녕하세요 여러분",
    "cairo": "مرحبا، بالعالم؟",
    "emoji": "🎉Great🎉 news",
}

FOUND = [
    ("ecole", "paris"),
    ("ÉCOLE paris", "paris"),
    ("paris école", "paris"),
    ("l'été", "paris"),
    ("par", "paris"),
    ("example", "mail"),
    ("foo@example.org", "mail"),
    ("3.14", "mail"),
    ('"example org"', "mail"),
    ("会議", "tokyo"),
    ("始めます", "tokyo"),
    ("会議 話", "tokyo"),
    ("हिन्दी", "delhi"),
    ("हिन्", "delhi"),
    ("करते बात", "delhi"),
    ("สวัสดี", "bangkok"),
    ("ทุกคน", "bangkok"),
    ("привет мир", "moscow"),
    ("ПриВет", "moscow"),
    ("안녕", "seoul"),
    ("بالعالم", "cairo"),
    ("great", "emoji"),
]

NOT_FOUND = [
    "ris",
    "ecol paris",
    "p",
    "paris -ecole london",
    "example NOT org",
    "議会",
    "news great old",
    "f*",
]


@pytest.fixture
def said(db: None) -> dict[int, str]:
    meeting = made_meeting()
    return {made_line(meeting, text).pk: name for name, text in SAID.items()}


@pytest.mark.parametrize(("query", "name"), FOUND)
def test_words_are_found_in_any_script_the_last_one_by_its_beginning(
    said: dict[int, str], query: str, name: str
) -> None:
    assert [said[line.pk] for line in matching(Line.objects.all(), query)] == [name]


@pytest.mark.parametrize("query", NOT_FOUND)
def test_every_word_has_to_be_there_and_none_is_an_operator(said: dict[int, str], query: str) -> None:
    assert [said[line.pk] for line in matching(Line.objects.all(), query)] == []


@pytest.mark.parametrize(
    "query", ["", " ", "\0", "'\"", "*:&|!()<->", "…—。", "🎉", "x" * (MAX_QUERY_CHARS + 1)]
)
def test_a_query_without_a_word_or_too_long_is_refused(said: dict[int, str], query: str) -> None:
    with pytest.raises(InvalidQuery):
        matching(Line.objects.all(), query)


def test_what_a_correction_replaced_and_what_was_deleted_is_found_no_more(said: dict[int, str]) -> None:
    Line.objects.filter(pk__in=[pk for pk, name in said.items() if name == "paris"]).update(text="Lyon")
    line = Line.objects.get(pk=next(pk for pk, name in said.items() if name == "moscow"))
    line.text = "London"
    line.save()
    Line.objects.filter(pk__in=[pk for pk, name in said.items() if name == "seoul"]).delete()

    for gone in ("paris", "привет", "안녕"):
        assert not matching(Line.objects.all(), gone).exists()
    assert matching(Line.objects.all(), "lyon").get().text == "Lyon"
    assert matching(Line.objects.all(), "london").get().text == "London"


@pytest.mark.django_db
def test_a_search_is_of_the_lines_it_is_asked_of_alone() -> None:
    here, there = made_meeting("here"), made_meeting("there")
    made_line(here, "alpha"), made_line(there, "alpha")

    assert matching(here.lines.all(), "alpha").get().meeting == here


@pytest.mark.django_db
def test_the_index_holds_nothing_of_a_deleted_line_once_it_was_told_to_forget() -> None:
    meeting = made_meeting()
    made_lines(meeting, 50)
    made_line(meeting, "Quizzaciously xylophonic")
    forget_deleted()
    assert "zzaciously" in indexed_words()

    Line.objects.filter(text__startswith="Quizz").delete()
    forget_deleted()

    assert "zzaciously" not in indexed_words()
    assert matching(Line.objects.all(), "number7").count() == 1


def indexed_words() -> str:
    """What the index, or the planner's memory of it, has in it, whether or not a search would find it.

    FTS5 leaves out what a word has in common with the one before it.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT most_common_elems FROM pg_stats WHERE tablename = 'transcripts_line'")
            return str(cursor.fetchall())
        cursor.execute("SELECT block FROM transcripts_words_data")
        return b"".join(block for (block,) in cursor.fetchall()).decode(errors="replace")


class AnyQuery(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        made_lines(made_meeting(), 20)

    @settings(max_examples=150, deadline=None)
    @given(
        st.text(max_size=MAX_QUERY_CHARS) | st.text("ab'\"*:&|!()<->^{}[]%_\\\0-+~ ANDORNEAR会é", max_size=40)
    )
    def test_whatever_is_asked_is_answered_or_refused_in_time(self, query: str) -> None:
        started = time.perf_counter()
        with contextlib.suppress(InvalidQuery):
            list(matching(Line.objects.all(), query))
        assert time.perf_counter() - started < 1
