from agents.sinks.fence import Fence


def spoken(fence: Fence, *, at: float) -> int:
    """A report and its answer."""
    number = fence.next_report(now=at)
    fence.told_to_speak(report=number, now=at)
    return number


def test_nothing_is_published_before_the_first_word_from_the_backend() -> None:
    fence = Fence(now=0.0)
    assert not fence.is_open(now=0.1)
    fence.next_report(now=0.2)
    assert not fence.is_open(now=0.3)
    fence.told_to_speak(report=1, now=0.4)

    assert fence.is_open(now=0.5)


def test_heartbeats_that_fail_close_nothing() -> None:
    fence = Fence(now=0.0)
    spoken(fence, at=0.1)
    for second in range(1, 300):
        fence.next_report(now=float(second))
        assert fence.is_open(now=second + 0.5)


def test_after_a_stall_nothing_is_published_until_a_newer_report_is_answered() -> None:
    fence = Fence(now=0.0)
    before = spoken(fence, at=0.1)
    fence.beat(now=0.5)

    assert not fence.is_open(now=2.1)  # the first thing to run after the stall
    fence.told_to_speak(report=before, now=2.2)
    assert not fence.is_open(now=2.3)
    spoken(fence, at=2.4)
    assert fence.is_open(now=2.5)


def test_short_stalls_that_together_silence_a_job_close_it_too() -> None:
    fence = Fence(now=0.0)
    spoken(fence, at=0.1)

    assert fence.is_open(now=1.0)
    assert not fence.is_open(now=2.1)


def test_a_loop_that_is_merely_late_is_no_stall() -> None:
    fence = Fence(now=0.0)
    spoken(fence, at=0.1)

    assert fence.is_open(now=1.5)
