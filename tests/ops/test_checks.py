"""`make test` does not pass by testing nothing."""

import sys
from pathlib import Path

import pytest

from tools import checks, installation


def report(tmp_path: Path, *suites: str) -> Path:
    path = tmp_path / "report.xml"
    path.write_text(f"<testsuites>{''.join(f'<testsuite {suite}/>' for suite in suites)}</testsuites>")
    return path


def test_tests_of_all_suites_are_counted(tmp_path: Path) -> None:
    results = checks.Tests()
    suites = ('tests="5" failures="1" errors="1" skipped="0"', 'tests="3" failures="0"')

    assert checks.count(report(tmp_path, *suites), results)
    assert (results.passed, results.failed) == (6, 2)


@pytest.mark.parametrize("suites", [(), ('tests="0" failures="0"',), ('tests="3" skipped="1"',)])
def test_a_run_that_left_something_out_has_failed(tmp_path: Path, suites: tuple[str, ...]) -> None:
    assert not checks.count(report(tmp_path, *suites), checks.Tests())


def test_a_run_without_a_report_has_failed(tmp_path: Path) -> None:
    assert not checks.count(tmp_path / "none.xml", checks.Tests())


def test_a_failed_check_fails_the_whole_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    results = checks.Tests(passed=4)
    checks.run(checks.Check(name="style", command=("false",)), results)

    assert checks.summary(results, took_s=1) == 1
    assert "FAILED style" in capsys.readouterr().out


def test_what_fails_beside_others_fails_it_too(capfd: pytest.CaptureFixture[str]) -> None:
    results = checks.Tests(passed=4)
    command = (sys.executable, "-c", "print('said'); raise SystemExit(3)")
    with checks.beside(checks.Check(name="soak", command=command), results):
        checks.run(checks.Check(name="other", command=("true",)), results)

    assert results.failed_checks == ["soak"]
    assert capfd.readouterr().out.split()[-1] == "said"


FAILS_UNTIL_A_FILE_IS_THERE = """
from pathlib import Path
import pytest
@pytest.mark.parametrize("number", range({tests}))
def test_something(number):
    mark = Path(__file__).parent / f"tried-{{number}}"
    was_tried = mark.exists()
    mark.touch()
    assert {holds}
"""


@pytest.mark.parametrize(
    ("tests", "holds", "outcome"),
    [
        (2, "was_tried", "SHAKY some: what failed passed when it was run again by itself"),
        (2, "False", "FAILED some"),
        (checks.MOST_TRIED_AGAIN + 1, "was_tried", "FAILED some"),
    ],
)
def test_a_few_that_failed_are_run_once_more_and_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tests: int,
    holds: str,
    outcome: str,
) -> None:
    monkeypatch.setattr(checks, "REPORTS", tmp_path)
    file = tmp_path / "test_some.py"
    file.write_text(FAILS_UNTIL_A_FILE_IS_THERE.format(tests=tests, holds=holds))
    results = checks.Tests()

    checks.run(checks.pytest("some", str(file), "--rootdir", str(tmp_path)), results)
    checks.try_again(results)

    assert checks.summary(results, took_s=1) == (1 if outcome.startswith("FAILED") else 0)
    assert outcome in capfd.readouterr().out.splitlines()
    assert results.passed + results.failed == tests


def test_the_last_line_counts_the_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert checks.summary(checks.Tests(passed=4), took_s=1.5) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "==== 4 passed in 1.50s ===="


def test_where_packages_cannot_be_installed_they_are_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = [
        checks.SystemPackage(name=name, is_there=lambda: False, packages=(name.lower(),))
        for name in ("Chromium", "Redis")
    ]
    monkeypatch.setenv("PATH", "/nowhere")  # no apt-get there

    with pytest.raises(
        installation.CannotInstall, match=r"^The tests need Chromium, Redis: install and try again$"
    ):
        checks.install_system_packages(needed)
