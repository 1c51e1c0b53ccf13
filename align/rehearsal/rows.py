"""What rows and answers say of each other: prompts that repeat or give answers away, keys and pay that are odd."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np
from scipy.stats import binom

from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import wilson
from align.rehearsal.record import Check, Rehearsed, by_number
from align.rehearsal.rollouts import Rollouts
from rewards.places import shape

_COMPARED = 128  # prompts, each with each other
_SAME = 0.8  # of the words of a prompt, in a row, that another one has
_FEWEST = 8  # completions that a share is told of
_SHAPES, _CHANCE = 4, 0.01  # writings of answers that are told apart; chance of agreeing with other rows
_AROUND = 24  # letters before an answer in a prompt
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
    Check("answer key", "other_answer", "prompts where most agree on another answer than the row's",
          "On {odd} of {n} prompts most completions agree on one answer, and the row has another that none of them "
          "states.", "Look at these rows: their answers may be of other rows, or be written otherwise.",
          above=0.15),
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


def look_at_rows(prompts: Sequence[str], golds: Sequence[str | None], rollouts: Rollouts, found: Rehearsed) -> None:
    """Compares N prompts, their right answers and what was stated to them."""
    stated = np.array(rollouts.stated, dtype=object).reshape(rollouts.lengths.shape)
    _same_prompts(prompts, golds, found)
    _same_answer(golds, rollouts, found)
    _given_away(prompts, golds, stated, rollouts, found)
    if any(golds) and rollouts.wants_answers:
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
    if not counts or (len(counts) == 1 and not rollouts.reads):
        return
    answer, count = counts.most_common(1)[0]
    found.take(CHECKS["same_answer"], wilson(count, counts.total()), answer=answer)


def _given_away(
    prompts: Sequence[str], golds: Sequence[str | None], stated: np.ndarray, rollouts: Rollouts, found: Rehearsed
) -> None:
    """Looks for words behind which prompts hold their own right answer, and no other row's."""
    places = [i for i, gold in enumerate(golds) if gold and len(gold) > 1]
    if len(places) < _FEWEST or np.isnan(rollouts.values[..., rollouts.task]).all():
        return
    is_answer = np.array([[each == golds[i] for each in stated[i]] for i in places])
    pays = rollouts.values[..., rollouts.task]
    is_paid = pays[places] >= np.nanmax(pays)
    if not rollouts.tells and (is_paid & ~is_answer).sum() > (is_paid & is_answer).sum():
        return  # what the column holds is no answer, but say a target
    around = [_around(prompts[i], golds[i]) for i in places]
    others = [_around(prompts[i], golds[j]) for i, j in pairwise(places) if golds[i] != golds[j]]
    counts = Counter(each for some in around for each in some)
    telling = [each for each, count in counts.most_common() if count > 2 and not any(each in some for some in others)]
    told = wilson(sum(not some.isdisjoint(telling) for some in around), len(places))
    found.take(CHECKS["given_away"], told, label=next(iter(telling), ""))


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
    """Counts prompts on which most completions agree on another answer than the row's, and on another row's."""
    odd, moved, guessed, guesses = [], [], 0, 0
    for answers, gold in zip(stated, golds, strict=True):
        said = Counter(each for each in answers if each is not None)
        first, count = said.most_common(1)[0] if said else (None, 0)
        odd.append(bool(gold) and first != gold and not said[gold] and 2 * count > len(answers))
        moved.append(odd[-1] and first in golds)
        wrong = {*said} - {gold} if not odd[-1] else {}
        guessed, guesses = guessed + sum(each in golds for each in wrong), guesses + len(wrong)
    told = {"odd": sum(odd), "n": len(odd), "rows": [i for i, each in enumerate(odd) if each]}
    is_odd = found.take(CHECKS["other_answer"], wilson(sum(odd), len(odd)), **told)
    # Wrong answers to the rows that agree with their key say how often a guess is some row's answer.
    chance = binom.sf(sum(moved) - 1, sum(odd), (guessed + 1) / (guesses + 2)) if any(moved) else 1.0
    told = {"odd": sum(moved), "n": len(odd), "rows": [i for i, each in enumerate(moved) if each]}
    sick = False if is_odd or chance > _CHANCE else None
    found.take(CHECKS["others_answer"], wilson(sum(moved), len(moved)), sick=sick, **told)


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
