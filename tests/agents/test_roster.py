from dataclasses import replace

import pytest

from agents.runtime.roster import JobKey, Roster, Tick, key_of
from contract.status import State
from contract.workers import ClaimAnswer, JobReport

CLAIM = ClaimAnswer(
    session="s",
    generation=1,
    room="r",
    agent_identity="subtitles-x-1",
    language="en",
    engine="embedded",
    first_sequence=1,
    screen_share_audio=False,
)
KEY = key_of(CLAIM)
LIVE = JobReport(session="s", generation=1, state=State.LIVE, speaking=2)


def tick(number: int, report: JobReport = LIVE) -> Tick:
    return Tick(number=number, report=report)


@pytest.fixture
def roster() -> Roster:
    """With one job that has spoken up at 0."""
    roster = Roster()
    roster.claimed(CLAIM, now=0.0)
    roster.connected(KEY, now=0.0)
    roster.heard(KEY, tick(1), now=0.0)
    return roster


def test_a_claimed_job_is_reported_while_its_process_starts() -> None:
    roster = Roster()
    roster.claimed(CLAIM, now=0.0)

    [said] = roster.reports(now=10.0)
    assert (said.report.state, said.report.lost) == (State.JOINING, False)
    [said] = roster.reports(now=16.0)
    assert said.report.lost


def test_a_silent_job_is_lost_until_that_is_answered_or_it_speaks_again(roster: Roster) -> None:
    assert not roster.reports(now=1.9)[0].report.lost
    lost = roster.reports(now=2.1)
    assert lost[0].report.lost and lost[0].report.speaking == 0
    assert roster.reports(now=3.0)[0].report.lost
    roster.answered(lost)
    assert roster.reports(now=4.0) == ()

    assert roster.heard(KEY, tick(2), now=5.0)  # news
    assert not roster.reports(now=5.1)[0].report.lost


def test_a_job_that_has_gone_is_forgotten_once_that_is_answered(roster: Roster) -> None:
    roster.gone(KEY)
    lost = roster.reports(now=0.1)
    assert lost[0].report.lost
    assert roster.has_unsaid_losses()
    roster.answered(lost)

    assert roster.reports(now=0.2) == ()
    assert not roster.has_unsaid_losses()
    assert not roster.has_jobs()


def test_a_loss_that_nobody_answers_is_not_kept_for_ever(roster: Roster) -> None:
    roster.gone(KEY)

    assert roster.reports(now=31.0) == ()


def test_a_job_that_never_came_is_forgotten_and_refused_should_it_come_after_all() -> None:
    roster = Roster()
    roster.claimed(CLAIM, now=0.0)
    lost = roster.reports(now=16.0)
    assert lost[0].report.lost
    assert roster.has_jobs()
    roster.answered(lost)

    assert not roster.has_jobs()
    assert not roster.serves(KEY)
    assert roster.connected(KEY, now=17.0) is None


def test_a_job_that_never_came_is_not_kept_for_ever_though_nobody_answers() -> None:
    roster = Roster()
    roster.claimed(CLAIM, now=0.0)

    assert roster.reports(now=31.0) == ()
    assert not roster.has_jobs()


def test_only_a_claimed_job_may_connect_and_only_once(roster: Roster) -> None:
    assert roster.connected(KEY, now=0.0) is None
    assert roster.connected(JobKey(session="s", generation=2), now=0.0) is None


def test_a_job_speaks_for_its_own_lease_only(roster: Roster) -> None:
    assert not roster.heard(KEY, tick(2, replace(LIVE, generation=2, speaking=9)), now=0.1)
    assert roster.speaking(now=0.1) == 2


def test_news_does_not_wait_and_the_same_again_does(roster: Roster) -> None:
    assert not roster.heard(KEY, tick(2), now=1.0)
    assert roster.heard(KEY, tick(3, replace(LIVE, state=State.DEGRADED)), now=1.1)


def test_the_load_told_to_livekit_stays_below_what_makes_it_drop_dispatches(roster: Roster) -> None:
    assert roster.load(capacity=4, now=0.1) == pytest.approx(0.345)
    assert roster.load(capacity=1, now=0.1) == pytest.approx(0.69)
    roster.gone(KEY)
    assert roster.load(capacity=4, now=0.1) == 0
