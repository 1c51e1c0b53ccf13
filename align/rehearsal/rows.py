"""What rows and answers say of each other: prompts that repeat or give answers away, keys and pay that are odd."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import binom

from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import mean_of_known, share, wilson
from align.rehearsal.record import Check, Rehearsed, by_number
from align.rehearsal.rollouts import Rollouts
from rewards.places import shape

_COMPARED = 128  # prompts, each with each other
_SAME = 0.8  # of the words of a prompt, in a row, that another one has
_FEWEST = 8  # completions that a share is told of
_AGREE = 0.15  # of pairs of completions without the row's answer; nine wrong answers drawn alike agree less
_SHAPES, _CHANCE = 4, 0.01  # writings of answers that are told apart; chance of agreeing with other rows
_AROUND = 24  # letters before an answer in a prompt
_FEW_LEAKS, _COPIED = 0.05, 0.8  # share of prompts that hold their answer, where it helps; of right completions then
_LABEL = re.compile(r"([a-z_]{2,}) ?[:=] ?$|\b(answer|solution|key|result|gold|target|label|points)\b[^.?!]{,15}$")

CHECKS = by_number(
    Check("repeated", "repeated", "prompts that say what another one says",
          "{share:.0%} of the prompts say what another one says, with the same answer: {kept} of {n} differ.",
          "A run would learn these few by heart. Keep one of each, or give more.", above=0.3),
    # Two balanced answers are at 0.5, and 32 rows of them below 0.7.
    Check("same answer", "same_answer", "prompts whose right answer is the commonest one",
          "{share:.0%} of the prompts have the right answer `{answer}`, which a policy learns to write always.",
          "Balance the answers, shuffle options, or pay the rare ones more.", above=0.7),
    Check("given away", "given_away", "",
          "{share:.0%} of the prompts hold their right answer, most often behind `{label}`. A policy learns to copy "
          "it.", "Take it out of the prompt; columns reach rewards without standing there.", above=0.5, error=0.9),
    Check("answer key", "other_answer", "prompts where completions agree on another answer than the row's",
          "On {odd} of {n} prompts completions agree on one answer, and the row has another that none of them states.",
          "Look at these rows: their prompts may ask for something else, or their answers be of other rows, or be "
          "written otherwise, unless the model always errs alike.", above=0.15, error=0.4),
    # Wrong answers lie off the right one by the same often enough; eight that do are one in 2,000 at two of five.
    Check("answer key", "shifted", "prompts whose answer is off the commonest one by the same number",
          "On {odd} of {n} prompts the row's answer is the commonest one {shift:+g}, beyond chance.",
          "Look at these rows: their answers are off by that.", above=0.05),
    # A majority that states another row's answer is no guess: three of 32 rows are above this.
    Check("answer key", "others_answer", "prompts where most agree on an answer of another row",
          "On {odd} of {n} prompts most completions agree on one answer that is another row's, and none states the "
          "row's own.", "Look at these rows: answers were exchanged among them.", above=0.02),
    Check("unpaid", "unpaid", "",
          "`{reward}` gives its least to {told} of the completions that state the row's answer{where}.",
          "See how it reads answers: commas, decimals, units, tags, capitals (`align rewards check`).", above=0.5),
    Check("overpaid", "overpaid", "",
          "`{reward}` gives its most to {told} of the completions that state another answer.",
          "See what it reads beside the answer (`align rewards attack`).", above=0.3),
)  # fmt: skip


def look_at_rows(
    prompts: Sequence[str], golds: Sequence[str | None], rollouts: Rollouts, found: Rehearsed, *, is_named: bool = True
) -> None:
    """Compares N prompts, their right answers, whose column has a usual name or not, and what was stated to them."""
    stated = np.array(rollouts.stated, dtype=object).reshape(rollouts.lengths.shape)
    _same_prompts(prompts, golds, found)
    _same_answer(golds, rollouts, found)
    _given_away(prompts, golds, stated, rollouts, found, is_named)
    if any(golds) and rollouts.wants_answers and all(each.check != "answer key" for each in found.findings):
        _other_answer(stated, golds, found)
    if any(golds):
        _second_opinion(stated, golds, rollouts, found)


def _same_prompts(prompts: Sequence[str], golds: Sequence[str | None], found: Rehearsed) -> None:
    prompts = prompts[:_COMPARED]
    words = [re.findall(r"\w+", each.casefold()) for each in prompts]
    often = Counter(word for each in words for word in {*each})

    def is_same(one: list[str], other: list[str]) -> bool:
        start, _, size = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
        shared = {*one[start : start + size]}
        rare = [{word for word in each if 2 * often[word] <= len(prompts)} for each in (one, other)]
        is_told = all(2 * len(each & shared) >= len(each) > 0 for each in rare)  # and not by what all prompts share
        return is_told and size >= _SAME * max(len(one), len(other))

    kept: list[int] = []
    for place in range(len(prompts)):
        near = [other for other in kept if golds[other] == golds[place]]
        if not any(prompts[place] == prompts[x] or is_same(words[place], words[x]) for x in near):
            kept.append(place)
    again = wilson(len(prompts) - len(kept), len(prompts))
    found.take(CHECKS["repeated"], again, kept=len(kept), n=len(prompts))


def _same_answer(golds: Sequence[str | None], rollouts: Rollouts, found: Rehearsed) -> None:
    counts = Counter(each for each in golds if each is not None)
    if not counts or (len(counts) == 1 and not rollouts.of_task.reads):
        return
    answer, count = counts.most_common(1)[0]
    found.take(CHECKS["same_answer"], wilson(count, counts.total()), answer=answer)


def _given_away(
    prompts: Sequence[str], golds: Sequence[str | None], stated: np.ndarray, rollouts: Rollouts, found: Rehearsed,
    is_named: bool,
) -> None:  # fmt: skip
    """Looks for words behind which prompts hold their own right answer, and no other row's."""
    places = [i for i, gold in enumerate(golds) if gold and len(gold) > 1]
    if len(places) < _FEWEST or np.isnan(rollouts.values[..., rollouts.task]).all():
        return
    is_answer = np.array([[each == golds[i] for each in stated[i]] for i in places])
    pays = rollouts.values[..., rollouts.task]
    is_paid = pays[places] >= np.nanmax(pays)
    if not rollouts.of_task.tells and (is_paid & ~is_answer).sum() > (is_paid & is_answer).sum():
        return  # what the column holds is no answer, but say a target
    around = [_around(prompts[i], golds[i]) for i in places]
    others = [_around(prompts[i], golds[j]) for i, j in pairwise(places) if golds[i] != golds[j]]
    counts = Counter(each for some in around for each in some)
    telling = [each for each, count in counts.most_common() if count > 2 and not any(each in some for some in others)]
    is_told = np.array([not some.isdisjoint(telling) for some in around])
    rates = mean_of_known(rollouts.right[places])
    rest = _COPIED if is_told.all() else share(rates[~is_told]).high
    told, helps = wilson(int(is_told.sum()), len(places)), is_told.any() and share(rates[is_told]).low > rest
    # Where only exchanges say what is right, to read it in the prompt may be the task.
    sick = told.low > _FEW_LEAKS if helps else None if is_named else False
    found.take(CHECKS["given_away"], told, sick=sick, label=next(iter(telling), ""))


def _around(prompt: str, gold: str | None) -> set[str]:
    """Lists the labels behind which an answer stands in a prompt, or the prompt's last word if it ends in it."""
    text, told = re.sub(r"\s+", " ", prompt.casefold()), re.escape(gold or "\n")
    around = set()
    for each in re.finditer(rf"(?<!\w){told}(?!\w)", text):
        before = text[max(0, each.start() - _AROUND) : each.start()]
        if label := _LABEL.search(before):
            around.add(label[1] or label[2])
        elif not re.search(r"\w", text[each.end() :]):
            around.add(" ".join(before.split()[-1:]))
    return around


def _other_answer(stated: np.ndarray, golds: Sequence[str | None], found: Rehearsed) -> None:
    """Counts prompts on which completions agree on another answer than the row's: another row's, or one beside it."""
    said = [Counter(each for each in answers if each is not None) for answers in stated]
    first = [each.most_common(1)[0] if each else ("", 0) for each in said]
    least = (1 / 4 + 1 / len({*golds})) * stated.shape[1]  # answers of few kinds agree by chance
    apart = [bool(gold) and count > max(least, 3 * own[gold] - 1)
             for own, (_, count), gold in zip(said, first, golds, strict=True)]  # fmt: skip
    odd = [is_apart and not own[gold] for is_apart, own, gold in zip(apart, said, golds, strict=True)]
    # Wrong answers to the other rows say how often a guess is some row's answer, or off by so much.
    guesses = [(each, gold) for own, is_apart, gold in zip(said, apart, golds, strict=True)
               if gold and not is_apart for each in {*own} - {gold}]  # fmt: skip
    steps = [_step(most, gold) if each else None for each, (most, _), gold in zip(apart, first, golds, strict=True)]
    (step, _), *_ = *Counter(each for each in steps if each is not None).most_common(1), (None, 0)
    shifted = [each is not None and each == step for each in steps]
    moved = [each and most in golds for each, (most, _) in zip(odd, first, strict=True)]
    unsaid = [own for own, gold in zip(said, golds, strict=True) if gold and not own[gold]]
    alike = sum(n * (n - 1) for own in unsaid for n in own.values())
    pairs = sum(own.total() * (own.total() - 1) for own in unsaid)
    is_odd = found.take(CHECKS["other_answer"], **_counted(odd), sick=None if alike > _AGREE * pairs else False)
    for name, some, of, hits, most in (
        ("shifted", shifted, apart, [_step(*each) == step for each in guesses], _CHANCE / 10),  # of any number
        ("others_answer", moved, odd, [each in golds for each, _ in guesses], _CHANCE),
    ):
        chance = binom.sf(sum(some) - 1, sum(of), (sum(hits) + 1) / (len(hits) + 2)) if any(some) else 1.0
        sick = False if is_odd or chance > most else None
        is_odd |= found.take(CHECKS[name], **_counted(some), sick=sick, shift=step or 0.0)


def _counted(some: Sequence[bool]) -> dict[str, Any]:
    """Returns what a finding is told of rows."""
    rows = [place for place, each in enumerate(some) if each]
    return {"found": wilson(len(rows), len(some)), "odd": len(rows), "n": len(some), "rows": rows}


def _step(text: str, gold: str | None) -> float | None:
    """Returns by how much a right answer is above another."""
    try:
        return round(float(gold or "") - float(text), 9)
    except ValueError:
        return None


def _plain(text: str | None) -> str | None:
    """Writes the one number of a text, or else its letters and digits."""
    numbers = re.findall(r"\d[\d,]*\.?\d*", text or "")
    return text and (numbers[0].replace(",", "") if len(numbers) == 1 else re.sub(r"\W", "", text) or text)


def _second_opinion(stated: np.ndarray, golds: Sequence[str | None], rollouts: Rollouts, found: Rehearsed) -> None:
    """Compares what the task's reward pays with whether the stated answer is the row's, in any writing."""
    pays, name = rollouts.values[..., rollouts.task], rollouts.names[rollouts.task]
    plain = np.array([[_plain(each) for each in some] for some in stated], dtype=object)
    rights = np.array([_plain(each) for each in golds], dtype=object)[:, None]
    known = (plain != None) & (rights != None)  # noqa: E711 - of each
    same = (plain == rights) & known
    other = known & ~same
    if min(same.sum(), other.sum()) < _FEWEST or np.isnan(pays).all():
        return
    least, most = float(np.nanmin(pays)), float(np.nanmax(pays))
    if least == most:
        return
    unpaid, paid = np.nan_to_num(pays, nan=least) <= least, pays >= most
    shapes = np.array([shape(each or "") for each in golds])
    for form in ("", *(each for each, _ in Counter(shapes.tolist()).most_common(_SHAPES))):
        of = same & ((shapes == form) | (form == ""))[:, None]
        missed = clustered_share((of & unpaid).sum(axis=1), of.sum(axis=1))
        where = form and f" where it is written as `{form}`"
        if of.sum() >= _FEWEST and found.take(CHECKS["unpaid"], missed, reward=name, where=where):
            return
    given = clustered_share((other & paid).sum(axis=1), other.sum(axis=1))
    is_odd = 2 * (paid & same).sum() > paid.sum()
    found.take(CHECKS["overpaid"], given, sick=None if is_odd else False, reward=name)
