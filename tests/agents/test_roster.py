from dataclasses import replace

import pytest

from agents.runtime.counts import JobCounts
from agents.runtime.roster import ENGINES_AGAIN_S, Assignment, JobKey, Roster, Tick, key_of
from contract.engines import EnginesCause, EngineSetup, SessionEngines
from contract.status import State
from contract.workers import ClaimAnswer, JobCommand, JobReport, Order

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
ENGINES = SessionEngines(session="s", generation=1, revision=3, chain=(EngineSetup(engine="embedded"),))
ASSIGNMENT = Assignment(claim=CLAIM, engines=ENGINES)
LIVE = JobReport(session="s", generation=1, state=State.LIVE, speaking=2)


def tick(number: int, report: JobReport = LIVE) -> Tick:
    return Tick(number=number, report=report)


@pytest.fixture
def roster() -> Roster:
    """With one job that has spoken up at 0."""
    roster = Roster()
    roster.claimed(ASSIGNMENT, now=0.0)
    roster.connected(KEY, now=0.0)
    roster.heard(KEY, tick(1), now=0.0)
    return roster


def test_a_claimed_job_is_reported_while_its_process_starts() -> None:
    roster = Roster()
    roster.claimed(ASSIGNMENT, now=0.0)

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
    roster.claimed(ASSIGNMENT, now=0.0)
    lost = roster.reports(now=16.0)
    assert lost[0].report.lost
    assert roster.has_jobs()
    roster.answered(lost)

    assert not roster.has_jobs()
    assert not roster.serves(KEY)
    assert roster.connected(KEY, now=17.0) is None


def test_a_job_that_never_came_is_not_kept_for_ever_though_nobody_answers() -> None:
    roster = Roster()
    roster.claimed(ASSIGNMENT, now=0.0)

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


def command(revision: int) -> JobCommand:
    return JobCommand(session="s", generation=1, order=Order.SPEAK, language="en", engines_revision=revision)


def refused(number: int, *, times: int) -> Tick:
    return Tick(number=number, report=LIVE, counts=JobCounts(engine_auth=times))


def test_a_job_gets_the_engines_it_was_claimed_with_or_newer_ones() -> None:
    roster = Roster()
    roster.claimed(ASSIGNMENT, now=0.0)
    newer = replace(ENGINES, revision=4)
    assert roster.equipped(KEY, newer)

    assert roster.connected(KEY, now=0.0) == Assignment(claim=CLAIM, engines=newer)


def test_engines_are_asked_for_when_they_are_others_and_once(roster: Roster) -> None:
    assert roster.engines_due(command(3), now=0.0) is None
    assert roster.engines_due(command(4), now=0.0) is EnginesCause.CHANGED
    assert roster.engines_due(command(4), now=0.1) is None  # asked already
    assert roster.equipped(KEY, replace(ENGINES, revision=4))
    assert roster.engines_due(command(4), now=0.2) is None


def test_engines_that_could_not_be_had_are_asked_for_again_a_little_later(roster: Roster) -> None:
    assert roster.engines_due(command(4), now=0.0)
    assert not roster.equipped(KEY, None)
    assert roster.engines_due(command(4), now=ENGINES_AGAIN_S - 0.1) is None
    assert roster.engines_due(command(4), now=ENGINES_AGAIN_S) is EnginesCause.CHANGED


def test_a_refused_job_has_its_engines_asked_for_and_no_more_often_than_that(roster: Roster) -> None:
    assert roster.heard(KEY, refused(2, times=1), now=0.0)  # news
    assert roster.engines_due(command(3), now=0.1) is EnginesCause.REFUSED
    assert not roster.equipped(KEY, ENGINES)  # nothing new for the job
    assert roster.engines_due(command(3), now=9.0) is None
    roster.heard(KEY, refused(3, times=2), now=1.0)
    assert roster.engines_due(command(3), now=1.0) is None
    assert roster.engines_due(command(3), now=0.1 + ENGINES_AGAIN_S) is EnginesCause.REFUSED


def test_a_corrected_key_is_fetched_at_once_however_lately_the_wrong_one_was_refused(roster: Roster) -> None:
    roster.heard(KEY, refused(2, times=1), now=0.0)
    assert roster.engines_due(command(3), now=0.0) is EnginesCause.REFUSED
    assert not roster.equipped(KEY, ENGINES)
    assert roster.engines_due(command(4), now=0.2) is EnginesCause.CHANGED


def test_for_a_job_that_is_unknown_or_is_to_leave_nothing_is_asked(roster: Roster) -> None:
    assert roster.engines_due(replace(command(9), order=Order.LEAVE), now=0.0) is None
    assert roster.engines_due(replace(command(9), generation=2), now=0.0) is None
    assert not roster.equipped(JobKey(session="s", generation=2), ENGINES)
