"""Jobs: taken by one, tried again, given up; what is periodic is made once, whoever looks."""

import contextlib
import datetime
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import Error as DatabaseProblem
from django.db import connection, connections, transaction
from django.utils import timezone

from backend.jobs import broker, runners, services
from backend.jobs.models import Job, JobState, Outcome, Tally
from backend.jobs.services import enqueue, enqueue_once, every, task
from backend.metrics.jobs import jobs as metrics

SECRET_WORDS = "what was said in confidence"


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """As it was, afterwards."""
    tasks, periodic = dict(services.TASKS), dict(services.PERIODIC)
    yield
    services.TASKS.clear()
    services.TASKS.update(tasks)
    services.PERIODIC.clear()
    services.PERIODIC.update(periodic)


@pytest.fixture
def runs() -> list[str]:
    """What the test's task was called with, each time."""
    return []


@pytest.fixture
def works(runs: list[str]) -> services.Task:
    @task
    def works(*, what: str) -> None:
        runs.append(what)

    return works


@pytest.fixture
def fails() -> services.Task:
    @task
    def fails() -> None:
        raise LookupError(SECRET_WORDS)

    return fails


def later(job: Job) -> Job:
    """As if all the time it waits for had passed."""
    now = timezone.now()
    Job.objects.filter(pk=job.pk, state=JobState.DUE).update(due_at=now)
    Job.objects.filter(pk=job.pk, state=JobState.RUNNING).update(until=now)
    job.refresh_from_db()
    return job


@pytest.mark.django_db
class TestRunning:
    def test_a_job_is_run_once_and_stays_done(self, works: services.Task, runs: list[str]) -> None:
        job = enqueue(works, what="this")

        assert [runners.run_job(job.pk), runners.run_job(job.pk)] == [Outcome.DONE, None]
        assert runs == ["this"]

    def test_a_job_that_is_not_due_yet_is_not_run(self, works: services.Task, runs: list[str]) -> None:
        job = enqueue(works, delay=datetime.timedelta(minutes=1), what="this")

        assert runners.run_job(job.pk) is None
        assert runners.run_job(later(job).pk) is Outcome.DONE

    def test_what_fails_is_tried_again_later_and_later_and_then_given_up(
        self, fails: services.Task, caplog: pytest.LogCaptureFixture
    ) -> None:
        job, waits = enqueue(fails), []
        for _ in range(runners.MAX_TRIES - 1):
            before = timezone.now()
            assert runners.run_job(job.pk) is Outcome.AGAIN
            job.refresh_from_db()
            waits.append(round((job.due_at - before).total_seconds()))
            later(job)

        assert runners.run_job(job.pk) is Outcome.FAILED
        assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]
        job.refresh_from_db()
        assert job.state == JobState.FAILED
        assert runners.due_jobs() == []
        assert SECRET_WORDS not in caplog.text and "LookupError" in repr(caplog.records[-1].__dict__)
        told = {
            (sample.name, *sample.labels.values()): sample.value for m in metrics() for sample in m.samples
        }
        assert told["roomscribe_job_tries_total", "fails", "again"] == runners.MAX_TRIES - 1
        assert told["roomscribe_job_tries_total", "fails", "failed"] == 1
        assert told["roomscribe_jobs", "fails", "failed"] == 1
        assert told["roomscribe_oldest_due_job_seconds",] == 0

    def test_a_job_whose_runner_died_is_due_again_and_the_dead_one_changes_nothing_any_more(
        self, works: services.Task, runs: list[str]
    ) -> None:
        job = enqueue(works, what="this")
        dead = runners.take(job.pk)
        assert dead is not None and runners.take(job.pk) is None
        later(job)

        second = runners.take(job.pk)
        assert second is not None
        assert runners.run(dead) is Outcome.DONE  # it was only asleep
        job.refresh_from_db()
        assert job.state == JobState.RUNNING
        runners.run(second)
        job.refresh_from_db()
        assert (job.state, runs) == (JobState.DONE, ["this", "this"])
        assert Tally.objects.get(task="works", outcome=Outcome.LOST).count == 1

    def test_a_job_that_kills_every_runner_is_given_up(self, works: services.Task, runs: list[str]) -> None:
        job = enqueue(works, what="this")
        for _ in range(runners.MAX_TRIES):
            assert runners.take(job.pk) is not None
            later(job)

        assert runners.take(job.pk) is None
        assert (later(job).state, runs) == (JobState.FAILED, [])

    def test_a_job_that_is_given_back_is_due_at_once_however_often(self, works: services.Task) -> None:
        job = enqueue(works, what="this")
        for _ in range(runners.MAX_TRIES + 1):
            taken = runners.take(job.pk)
            assert taken is not None
            runners.give_back(taken)

        assert runners.run_job(job.pk) is Outcome.DONE

    def test_the_same_is_asked_for_once_while_it_is_due(self, works: services.Task) -> None:
        for what in ("this", "this", "that"):
            enqueue_once(works, what=what)

        assert sorted(job.arguments["what"] for job in Job.objects.all()) == ["that", "this"]

    def test_what_is_rolled_back_is_not_run(self, works: services.Task) -> None:
        with pytest.raises(LookupError), transaction.atomic():
            enqueue(works, what="this")
            raise LookupError

        assert runners.due_jobs() == []


@pytest.mark.django_db
class TestSweeping:
    def test_a_periodic_task_is_due_once_in_its_interval(self, runs: list[str]) -> None:
        @every(datetime.timedelta(hours=1))
        def ticks() -> None:
            runs.append("tick")

        for _ in range(2):
            runners.sweep()
            for job_id in runners.due_jobs():
                runners.run_job(job_id)

        assert runs == ["tick"]

    def test_the_check_passes_while_somebody_sweeps(self) -> None:
        with pytest.raises(CommandError, match="no_sweep"):
            call_command("jobs", check=True)
        runners.sweep()
        call_command("jobs", check=True)
        runners.Periodic.objects.update(due_at=timezone.now() - runners.SWEPT_WITHIN)
        with pytest.raises(CommandError, match="no_sweep"):
            call_command("jobs", check=True)

    def test_what_has_failed_is_listed_and_can_be_tried_again(self, works: services.Task) -> None:
        job = enqueue(works, what="this")
        Job.objects.update(state=JobState.FAILED, tries=runners.MAX_TRIES)
        said = StringIO()
        call_command("jobs", stdout=said)
        call_command("jobs", again=True, stdout=said)

        assert said.getvalue() == "works failed: 1\nto be tried again: 1\n"
        assert runners.run_job(job.pk) is Outcome.DONE

    def test_ended_jobs_are_forgotten_in_time(self, works: services.Task) -> None:
        now = timezone.now()
        for state, days in ((JobState.DONE, 2), (JobState.FAILED, 29), (JobState.FAILED, 31)):
            enqueue(works, what=f"{state} {days}")
            Job.objects.filter(arguments={"what": f"{state} {days}"}).update(
                state=state, ended_at=now - datetime.timedelta(days=days)
            )
        runners.forget_old_jobs()

        assert [job.arguments["what"] for job in Job.objects.all()] == ["failed 29"]


def together(work: Any, count: int = 8) -> list[Any]:
    """What each of so many threads, at once, made of it."""
    begin, results = threading.Barrier(count), []

    def one() -> None:
        begin.wait()
        try:
            results.append(work())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_of_many_runners_one_takes_a_job_and_of_many_that_sweep_one_makes_it(
    works: services.Task, runs: list[str]
) -> None:
    job = enqueue(works, what="this")

    assert sorted(together(lambda: runners.run_job(job.pk)), key=str) == [None] * 7 + [Outcome.DONE]
    assert runs == ["this"]

    every(datetime.timedelta(hours=1))(works)
    together(runners.sweep)
    assert Job.objects.filter(task="works", state=JobState.DUE).count() == 1
    assert connection.is_usable()


@pytest.mark.django_db(transaction=True)
def test_a_job_that_takes_long_stays_its_runners() -> None:
    @task
    def takes_long(*, job: str) -> None:
        held_until = Job.objects.filter(pk=job).values_list("until", flat=True)
        [first] = held_until
        deadline = time.monotonic() + 10
        while list(held_until.all()) == [first]:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    job = enqueue(takes_long)
    job.arguments = {"job": str(job.pk)}
    job.save()
    taken = runners.take(job.pk)
    assert taken is not None

    assert runners.run(taken, extend_every_s=0.05) is Outcome.DONE


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_during_a_task_costs_a_try_and_nothing_else(runs: list[str]) -> None:
    with cut_off() as cut:

        @task
        def loses_the_database() -> None:
            runs.append("ran")
            if len(runs) == 1:
                cut()

        job = enqueue(loses_the_database)
        assert broker.run(str(job.pk)) == "database unavailable"
    connections.close_all()

    assert broker.run(str(job.pk)) == "not due"
    assert broker.run(str(later(job).pk)) == Outcome.DONE
    assert runs == ["ran", "ran"]


@contextlib.contextmanager
def cut_off() -> Iterator[Callable[[], None]]:
    """What it gives ends this thread's connection, or has another process keep the file to itself."""
    if connection.vendor == "postgresql":

        def end() -> None:
            with contextlib.suppress(DatabaseProblem), connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        yield end
        return
    with contextlib.closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:

        def lock() -> None:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 20")
            other.execute("BEGIN EXCLUSIVE")

        yield lock
