"""Finals on disk: whole or not there at all, for their owner's eyes."""

import os
import threading
from pathlib import Path

import pytest

from agents.sinks.spool import Spool, spool_file
from contract import shapes
from contract.errors import ContractError
from tests.support.finals import final

SESSION = "0a7c4c52-8f0e-4f0b-9a55-0f6a1c1d2e3f"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "a" / "spool")


def written(spool: Spool, text: str = "x") -> str:
    return spool.write(final(text), writer="ab12", session=SESSION, generation=7)


def test_a_final_comes_back_as_it_was_and_its_file_tells_whose_it_is(spool: Spool) -> None:
    said = final("bonjour à tous 😀")
    name = spool.write(said, writer="ab12", session=SESSION, generation=7)

    [file] = spool.files()
    assert (file.name, file.session, file.generation, file.writer) == (name, SESSION, 7, "ab12")
    assert file.is_whole
    assert spool.read(name) == said
    assert spool.remove(name) and not spool.remove(name)
    with pytest.raises(FileNotFoundError):
        spool.read(name)


def test_nobody_else_can_read_it(spool: Spool) -> None:
    path = spool.directory / written(spool)

    assert (spool.directory.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_directory_that_somebody_else_could_have_put_there_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(PermissionError):
        written(Spool(tmp_path / "spool"))
    assert os.listdir(tmp_path / "elsewhere") == []


def test_many_at_once_have_names_of_their_own_in_the_order_of_writing(spool: Spool) -> None:
    one_after_another = [written(spool) for _ in range(50)]
    writers = [threading.Thread(target=lambda: [written(spool) for _ in range(50)]) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert sorted(one_after_another) == one_after_another
    assert len(spool.files()) == 250


def test_a_full_disk_leaves_no_half_of_a_sentence(spool: Spool) -> None:
    written(spool)
    spool.directory.rename(spool.directory.with_name("moved"))
    spool.directory.write_text("no directory")

    with pytest.raises(OSError):
        written(spool)
    spool.directory.unlink()
    assert spool_file(written(spool)) is not None  # it is made again
    assert [file.is_whole for file in spool.files()] == [True]


@pytest.mark.parametrize("name", ["README", ".gitkeep", f"1.{SESSION}.1.json", "..json", "a/b"])
def test_what_is_not_ours_is_left_alone(spool: Spool, name: str) -> None:
    assert spool_file(name) is None


@pytest.mark.parametrize("session", ["../../etc", "a.b", "", "x" * 65, "a/b", "a\nb"])
def test_no_session_can_name_a_file_elsewhere(spool: Spool, session: str) -> None:
    with pytest.raises(OSError):
        spool.write(final(), writer="ab12", session=session, generation=1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"id": 5}',
        shapes.to_json(final("PLACE")).replace("PLACE", r"\ud800").encode(),
        shapes.to_json(final("y" * 300_000)).encode(),
    ],
    ids=["empty", "cut", "list", "bytes", "number", "half a character", "huge"],
)
def test_what_is_no_final_is_told_from_what_is_not_there(spool: Spool, content: bytes) -> None:
    name = written(spool)
    (spool.directory / name).write_bytes(content)

    with pytest.raises(ContractError):
        spool.read(name)
