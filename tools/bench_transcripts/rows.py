"""What is promised of the record, and the judgement of what was seen. Pure."""

from tools.bench import judge
from tools.bench.statistics import percentile
from tools.bench.table import Form, Measured, Row, Verdict
from tools.bench_transcripts.account import Account
from tools.chaos.record import Record

LAG_GOAL_MS = 200
ENOUGH_LAGS = 20


def finals_whole(measured: Measured, _: Form) -> Verdict:
    account = Account(**measured["account"])
    answers = " ".join(f"{count} × {status}" for status, count in sorted(measured["answers"].items()))
    text = (
        f"{account.finals} finals: {account}; {measured['misread']} misread in {measured['reads']} reads. "
        f"In {measured['seconds']:.0f} s: {measured['batches']} batches ({answers}), "
        f"{measured['corrected']} corrections, {measured['kills']} workers killed, "
        f"PostgreSQL away {measured['database']} times, the backend {measured['backend']} times"
    )
    return Verdict(text, account.is_whole and not measured["misread"])


def stored_soon(measured: Measured, _: Form) -> Verdict:
    lags_ms = [1000 * lag_s for lag_s in measured["lags_s"]]
    record = Record(**measured["record"])
    if len(lags_ms) < ENOUGH_LAGS:
        raise ValueError(f"{len(lags_ms)} finals were timed")
    text = f"{judge.ms(lags_ms)} of {len(lags_ms)} finals; {record}; words: {measured['words']}"
    return Verdict(text, percentile(lags_ms, 95) <= LAG_GOAL_MS and record.is_whole)


def outlived_kills(measured: Measured, _: Form) -> Verdict:
    record = Record(**measured["record"])
    text = f"{record}; {measured['kills']} kills, {measured['unsent']} finals seen and not stored at the moment of one"
    # Of kills that found nothing to lose nothing follows.
    return Verdict(text, record.is_whole and measured["unsent"] > 0)


ROWS = {
    row.id: row
    for row in (
        Row(
            id="P12-stored",
            what="finals handed in twice, in disorder, by workers that are killed, past outages",
            goal="0 lost, doubled, stale, out of order or strange; 0 changes that a reader misses",
            scene="finals",
            judge=finals_whole,
        ),
        Row(
            id="P13",
            what="final seen by a viewer → row committed",
            goal=f"p95 ≤ {LAG_GOAL_MS} ms",
            scene="lag",
            judge=stored_soon,
        ),
        Row(
            id="P13-kills",
            what="SIGKILL of main process, job, or both, at random points",
            goal="0 finals seen and never stored",
            scene="kills",
            judge=outlived_kills,
        ),
    )
}
