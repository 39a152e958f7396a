"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from stprune.base.errors import WriteError
from stprune.base.files import atomic_path, write_json, write_text


def test_an_interrupt_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.csv"
    write_text(target, "Grüße\n")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            assert temporary.suffix == ".csv"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text(encoding="utf-8") == "Grüße\n"
    assert os.listdir(target.parent) == ["b.csv"]


def test_json_holds_numbers_exactly_and_no_nan(tmp_path: Path) -> None:
    target = tmp_path / "b.json"
    write_json(target, {"third": 1 / 3, "none": None})
    assert json.loads(target.read_text()) == {"third": 1 / 3, "none": None}
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"mae": float("nan")})
    assert json.loads(target.read_text())["none"] is None


def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_left_alone(
    tmp_path: Path,
) -> None:
    others = {f".b.{os.getppid()}.partial.txt", ".c.k1ll3d.partial.txt"}  # that of another file
    for name in {".b.k1ll3d.partial.txt", *others}:
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "b.txt", "whole")
    assert set(os.listdir(tmp_path)) == {*others, "b.txt"}


def test_a_refusal_behind_a_librarys_error_is_a_line(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space")
    with pytest.raises(WriteError, match=r"b\.txt .*No space"), atomic_path(tmp_path / "b.txt"):
        raise RuntimeError("unexpected pos 704 vs 598") from full
    assert os.listdir(tmp_path) == []
