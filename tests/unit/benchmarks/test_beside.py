"""Two versions beside each other: the test that says whether they differ, and what is counted of their statements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.quality.beside import Compared, described
from benchmarks.quality.fetch import Photograph
from benchmarks.quality.mcnemar import Pairs
from benchmarks.quality.versions import sha256_of


@pytest.mark.parametrize(
    ("only_old", "only_new", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (9, 1, 0.021484375), (121, 59, 4.4e-06)],
)
def test_an_uneven_split_is_told_from_chance(only_old: int, only_new: int, p: float) -> None:
    assert Pairs(only_old, only_new).p == pytest.approx(p, rel=0.02)
    assert Pairs(only_new, only_old).p == pytest.approx(p, rel=0.02)


def test_pairs_on_which_both_agree_do_not_count() -> None:
    assert Pairs.of([(True, True), (False, False), (True, False), (False, True), (False, True)]) == Pairs(1, 2)


def test_statements_are_judged_by_what_the_photograph_shows(tmp_path: Path) -> None:
    path = tmp_path / "koala.jpg"
    path.write_bytes(b"a photograph")
    koala = Photograph(path, frozenset({"koala"}), "classes", frozenset({"person"}))
    key = sha256_of(path)

    compared = Compared.of("animals", [koala], (), {key: _stated("animal")}, {key: _stated("koala", "person", "vase")})

    [old], [new] = compared.old, compared.new
    assert (old.verdicts, old.says, old.is_wrong) == (["right"], 0, False)
    assert (new.verdicts, new.says, new.is_wrong, new.undecided) == (["right", "wrong"], 1, True, 1)
    assert "| animals | 0 / 0, p = 1 | 0 / 1, p = 1 | 1 / 0, p = 1 | 0 / 1, p = 1 |" in described([compared])


def test_another_of_the_one_thing_s_kind_is_near(tmp_path: Path) -> None:
    path = tmp_path / "axolotl.jpg"
    path.write_bytes(b"a photograph")
    axolotl = Photograph(path, frozenset({"axolotl"}), "classes")
    key = sha256_of(path)

    [judged] = Compared.of("animals", [axolotl], (), {key: _stated("bullfrog", "vase")}, {key: _stated()}).old

    assert (judged.verdicts, judged.undecided) == (["near"], 1)


def _stated(*names: str) -> dict[str, Any]:
    return {"statements": [{"name": name, "confidence": 0.95} for name in names]}
