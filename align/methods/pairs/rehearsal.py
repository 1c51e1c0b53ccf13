"""A recipe that learns from pairs, rehearsed: what its start model makes of them, and what they differ in."""

from collections.abc import Sequence
from contextlib import closing
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from align.errors import UserError
from align.evaluation.asking import KeptAnswers
from align.evaluation.engine import show_stages
from align.evaluation.statistics.item_means import cluster_codes, mean_of_items
from align.evaluation.statistics.metrics import Values, pair_accuracy
from align.evaluation.suites.reward_model.evaluation import identify
from align.methods.pairs.checks import tokenize_here
from align.models.answer_cache import AnswerCache
from align.models.at_hand import require_model
from align.models.checkpoint import find_checkpoint, load_model
from align.models.likelihood import Tokens, token_nll
from align.models.pair_terms import tokenize_pair
from align.models.reward_model import NotARewardModelError, RewardModel
from align.rehearsal.plan import PAIRS_FOR_A_PROMPT, Plan
from align.rehearsal.record import CACHE_FOLDER, Check, Rehearsed, Table, by_number

_AT_ONCE = 16  # pairs that are read together
CHECKS = by_number(
    Check("lengths", "length_only", "pairs in which one response only adds to the other",
          "{share:.0%} of the pairs differ in length only: one response is the other with more text.",
          "Add pairs that differ in content, or the run learns how much to write.", above=0.5),
    Check("lengths", "chosen_longer", "pairs whose chosen response is the longer",
          "The chosen response is the longer one in {share:.0%} of the pairs, and length tells the order.",
          "Balance the lengths, or add ties of unlike length.", above=0.8, below=0.2),
    Check("margins", "ordered", "pairs that {orders} right before training",
          "{share:.0%} of the pairs are ordered right before training and teach little.",
          "Leave out the clear ones: `align filter --base` does.", above=0.9),
    Check("spans", "loss_tokens", "tokens of a response that carry the preference",
          "Only {share:.1%} of the tokens carry the preference.", "Mark more, or take `whole`.", below=0.02,
          unit="responses"),
)  # fmt: skip


def rehearse_policy(plan: Plan) -> Rehearsed:
    """Reads pairs with the model that a policy starts from, which is its reference."""
    pairs = _draw(plan)
    if any(pair.images for pair in pairs):
        raise UserError("Pairs with images cannot be rehearsed yet. Use `align check` instead.")
    checkpoint = find_checkpoint(plan.recipe.model.model_name_or_path)
    model, tokenizer = load_model(checkpoint, dtype="float32", device=plan.options.device)

    def ask(part: list[int]) -> list[Any]:
        tokens = [tokenize_pair(tokenizer, pairs[i]) for i in part]
        sides = [(each.chosen, each.prompt) for each in tokens] + [(each.rejected, each.prompt) for each in tokens]
        rows = [Tokens(ids[: max(1, start)], ids[max(1, start) :]) for ids, start in sides]
        sums = [-sum(each) for each in token_nll(model, rows, pad_token_id=int(tokenizer.pad_token_id))]
        return [[sums[i], sums[i + len(part)]] for i in range(len(part))]

    contents = [
        [checkpoint.fingerprint, "log-probs of pairs", pair.prompt, *pair.responses, dict(pair.template)]
        for pair in pairs
    ]
    found = Rehearsed()
    lengths = [len(pair.chosen) + len(pair.rejected) for pair in pairs]
    with closing(AnswerCache(plan.out / CACHE_FOLDER)) as cache, show_stages() as stages:
        stages.start(checkpoint.path)
        logps = np.array(KeptAnswers(cache, stages.advance).ask("reading pairs", ask, contents, lengths, _AT_ONCE))
    _look(found, pairs, logps[:, 0] - logps[:, 1], [pair.group or "all" for pair in pairs], "its log-probs order")
    read = [token for _, token in tokenize_here(plan.recipe, pairs)[0]]
    sides = [side for token in read for side in (token.marks.chosen, token.marks.rejected)]
    if sides:
        share = mean_of_items(np.array([float(np.mean(side or [0])) for side in sides]))
        found.take(CHECKS["loss_tokens"], share, "--spans whole")
    return found


def rehearse_reward_model(plan: Plan) -> Rehearsed:
    """Scores pairs with the model that a reward model starts from, if it has a head that learnt to score."""
    pairs, found, path = _draw(plan), Rehearsed(), plan.recipe.model.model_name_or_path
    require_model(path, plan.recipe.model.model_revision)
    margins: Values = np.full(len(pairs), np.nan)
    try:
        with closing(AnswerCache(plan.out / CACHE_FOLDER)) as cache, show_stages() as stages:
            how: dict[str, Any] = {"ask": KeptAnswers(cache, stages.advance).ask, "on_too_long": "nan"}
            model = RewardModel.load(path, device=plan.options.device, identity=identify(path), **how)
            margins = model.margins(*zip(*((p.prompt, p.chosen, p.rejected) for p in pairs), strict=True))
    except NotARewardModelError:
        found.find("ok", "margins", "The head that scores is new and has learnt nothing: no margin was measured.")
    margins[[pair.tie for pair in pairs]] = np.nan
    _look(found, pairs, margins, [pair.source for pair in pairs], "it orders")
    return found


def _draw(plan: Plan) -> list[Any]:
    num = plan.options.num_prompts * PAIRS_FOR_A_PROMPT
    places = np.random.default_rng(plan.recipe.settings.seed).permutation(len(plan.data.items))[:num]
    return [plan.data.items[place] for place in sorted(places.tolist())]


def _look(found: Rehearsed, pairs: Sequence[Any], margins: Values, slices: Sequence[str], orders: str) -> None:
    """Says which pairs are ordered already, by slice, and which differ in their length only."""
    codes = cluster_codes([pair.prompt for pair in pairs])

    def take(number: str, values: Any, **how: Any) -> bool:
        return found.take(CHECKS[number], mean_of_items(np.array(values, dtype=float), codes=codes), **how)

    is_tie = np.array([getattr(pair, "tie", False) for pair in pairs])
    longer = np.where(is_tie, np.nan, [np.sign(len(pair.chosen) - len(pair.rejected)) / 2 + 0.5 for pair in pairs])
    more = [_only_longer(pair.chosen, pair.rejected) for pair in pairs]
    is_length = take("length_only", more)
    take("chosen_longer", longer, sick=False if is_length else None)
    if not np.isnan(margins).all():
        take("ordered", pair_accuracy(margins), orders=orders)
        by_slice = {name: margins[np.array(slices) == name] for name in dict.fromkeys(slices)}
        known = {name: here[~np.isnan(here)] for name, here in by_slice.items()}  # ties have no order
        rows = [
            (name, f"{len(here):,}", f"{np.median(here):.3g}", f"{pair_accuracy(here).mean():.0%}")
            for name, here in known.items()
            if len(here)
        ]
        found.tables.append(Table("Margins before training", "By slice.", ("slice", "pairs", "median", "right"), rows))


def _only_longer(one: str, other: str) -> bool:
    """Tells whether one text is the other with words put in or taken away, and no word is another one."""
    words = SequenceMatcher(None, one.split(), other.split(), autojunk=False)
    kinds = {kind for kind, *_ in words.get_opcodes()} - {"equal"}
    return len(kinds) == 1 and "replace" not in kinds
