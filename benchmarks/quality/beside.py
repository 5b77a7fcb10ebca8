"""The chapter of RESULTS.md that puts two versions beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.quality import report
from benchmarks.quality.fetch import Photograph
from benchmarks.quality.judging import Judge, Verdict
from benchmarks.quality.mcnemar import Pairs
from benchmarks.quality.recognition import reliability
from benchmarks.quality.versions import Answers, sha256_of
from imagebatch_vision.describe import Describe
from imagebatch_vision.verify import Verify

_RESAMPLES = 2_000


@dataclass(frozen=True)
class Judged:
    """What one version stated of one photograph."""

    verdicts: Sequence[Verdict]
    """Of its statements that can be judged."""
    stated: Sequence[tuple[float, bool]]
    """Their confidences, and whether they are right."""
    undecided: int
    """Statements that nobody looked for."""
    says: int
    """Right ones that say more than `an animal`."""
    is_named: bool
    """Something is stated, whether or not it can be judged."""

    @property
    def is_wrong(self) -> bool:
        """Whether something is stated that is not there, nor its like."""
        return "wrong" in self.verdicts


@dataclass(frozen=True)
class Compared:
    """Both versions on one set."""

    name: str
    old: Sequence[Judged]
    new: Sequence[Judged]

    @classmethod
    def of(
        cls, name: str, photographs: Sequence[Photograph], known: Sequence[str] | None, old: Answers, new: Answers
    ) -> Compared:
        """Judge the answers; `known` are all the words that the set's markings use, None where any was."""
        judge = Judge()
        keys = [sha256_of(it.path) for it in photographs]
        both = [
            [_judged(answers[key], it, known, judge) for key, it in zip(keys, photographs, strict=True)]
            for answers in (old, new)
        ]
        return cls(name, *both)


def _judged(answer: Mapping[str, Any], photograph: Photograph, known: Sequence[str] | None, judge: Judge) -> Judged:
    words = None if known is None else [*known, *photograph.shows, *photograph.judged]
    verdicts, stated, says = [], [], 0
    for it in answer["statements"]:
        name = it["name"]
        verdict = judge.verdict(name, photograph.shows, knows_breeds=photograph.package != "coco")
        is_another_of_its_kind = photograph.package == "classes" and verdict == "near"
        if words is not None and not is_another_of_its_kind and not judge.is_decided_by(name, words):
            continue
        verdicts.append(verdict)
        stated.append((it["confidence"], verdict == "right"))
        says += verdict == "right" and judge.says_something(name)
    statements = answer["statements"]
    return Judged(verdicts, stated, len(statements) - len(verdicts), says, bool(statements))


def head(command: str, old: str) -> str:
    """Say what was compared, and how."""
    return f"""{report.made_by(command, Describe, Verify)}
Old is commit {old}, new what was there on that day; each in a process of its own, on the same images; photographs
without their text, which is measured apart. Beside the figures: of how many photographs, pages or claims only the old /
only the new version was right, and the probability of a split at least as uneven if both were equally good (McNemar's
exact test: the binomial distribution's tail, twice).
"""


def described(compared: Iterable[Compared]) -> str:
    """Report statements, and whether their confidences mean what they say."""
    rows = [
        "| photographs | version | count | named | right | near | wrong | not judged | telling | none wrong | error |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    tests = []
    for it in compared:
        rows += [_row(it.name, version, judged) for version, judged in (("old", it.old), ("new", it.new))]
        both = list(zip(it.old, it.new, strict=True))
        says = Pairs.of((bool(old.says), bool(new.says)) for old, new in both)
        clean = Pairs.of((not old.is_wrong, not new.is_wrong) for old, new in both)
        more = Pairs(sum(old.says > new.says for old, new in both), sum(new.says > old.says for old, new in both))
        named = Pairs.of((old.is_named, new.is_named) for old, new in both)
        tests.append(f"| {it.name} | {named} | {says} | {clean} | {more} | {_interval(it)} |")
    return "\n".join([
        *rows,
        "\nTelling: photographs with a right statement that says more than the widest words (animal, food). Not",
        "judged: statements for which the set has no markings. Error: the expected calibration error; between which",
        f"figures its change lies in 95 % of {_RESAMPLES:,} draws of as many of the photographs (bootstrap).\n",
        "| photographs | named | telling | nothing wrong | more that is right and telling | change of error |",
        "|---|---|---|---|---|---|",
        *tests,
        "",
    ])  # fmt: skip


def _interval(compared: Compared) -> str:
    """Say by how much the calibration error may have changed, both versions on the same draws of photographs."""
    draws = np.random.default_rng(0).integers(0, len(compared.old), (_RESAMPLES, len(compared.old)))
    changes = [
        _error(compared.new[it] for it in draw) - _error(compared.old[it] for it in draw) for draw in draws.tolist()
    ]
    least, most = np.percentile(changes, (2.5, 97.5))
    return f"{least:+.3f} to {most:+.3f}"


def _error(judged: Iterable[Judged]) -> float:
    return reliability([pair for it in judged for pair in it.stated])[1]


def _row(name: str, version: str, judged: Sequence[Judged]) -> str:
    verdicts = Counter(verdict for it in judged for verdict in it.verdicts)
    total = sum(verdicts.values())
    cells = [
        name,
        version,
        str(len(judged)),
        str(sum(it.is_named for it in judged)),
        *(f"{verdicts[it]} ({report.share(verdicts[it], total)})" for it in ("right", "near", "wrong")),
        str(sum(it.undecided for it in judged)),
        str(sum(bool(it.says) for it in judged)),
        str(sum(not it.is_wrong for it in judged)),
        f"{_error(judged):.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def read(old: Answers, new: Answers) -> str:
    """Report how well pages of text are read."""
    rows = [
        "## Text\n",
        "| pages | characters | error rate, old | new | pages read better by old / new |",
        "|---|---|---|---|---|",
    ]
    for key, before, after in _both(old, new):
        rates = [f"{sum(it['edits']) / it['characters']:.2%}" for it in (before, after)]
        pages = list(zip(before["edits"], after["edits"], strict=True))
        better = Pairs(sum(one < other for one, other in pages), sum(other < one for one, other in pages))
        rows.append(f"| {key} | {after['characters']} | {' | '.join(rates)} | {better} |")
    return "\n".join([*rows, ""])


def found(old: Answers, new: Answers) -> str:
    """Report how often words drawn into photographs are read."""
    rows = ["| height of drawn words | photographs | read, old | new | only old / only new |", "|---|---|---|---|---|"]
    for key, before, after in _both(old, new):
        shares = [report.share(sum(it["read"]), len(it["read"])) for it in (before, after)]
        pairs = Pairs.of(zip(before["read"], after["read"], strict=True))
        rows.append(f"| {key} | {len(after['read'])} | {' | '.join(shares)} | {pairs} |")
    return "\n".join([*rows, ""])


def verified(old: Answers, new: Answers) -> str:
    """Report how often claims are judged rightly: supported if right, contradicted if wrong."""
    rows = [
        "## Verify\n",
        "| check and case | claim | claims | rightly, old | new | only old / only new |",
        "|---|---|---|---|---|---|",
    ]
    for key, before, after in _both(old, new):
        wanted = "supported" if after["right"] else "contradicted"
        rightly = [[it == wanted for it in answer["verdicts"]] for answer in (before, after)]
        shares = [report.share(sum(it), len(it)) for it in rightly]
        pairs = Pairs.of(zip(*rightly, strict=True))
        claim = "right" if after["right"] else "wrong"
        rows.append(f"| {key} | {claim} | {len(rightly[1])} | {' | '.join(shares)} | {pairs} |")
    return "\n".join([*rows, ""])


def _both(old: Answers, new: Answers) -> Iterable[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    return ((key, old[key], new[key]) for key in new)
