"""`align augment --method crome`: causal and neutral pairs from preference pairs."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import combinations, product
from pathlib import Path
from typing import Any

from align.data.pairs.phrases import load_phrases
from align.data.pairs.reward_pairs import RewardPair
from align.data.problems import DataReport
from align.errors import UserError
from align.methods.crome.augmentation.family import (
    NO_OTHER,
    CromeSettings,
    Family,
    draw_other,
    load_originals,
    make_row,
)
from align.methods.crome.augmentation.options import EditOptions
from align.methods.crome.augmentation.oracles import CUT_OFF, load_rules
from align.methods.crome.augmentation.pairs import Cost, Tokens, augment_with_model, augment_with_rules, plan_cost
from align.methods.pairs.augmentation.command import answers_of, build_card, print_card
from align.methods.pairs.augmentation.folder import (
    LEFT_OUT_FILE,
    PAIRS_FILE,
    Augmentation,
    check_folder,
    claim_folder,
    describe_data,
    describe_file,
    write_folder,
)
from align.models.samplers.sampler import Sampler
from align.recipe.dataset import MediaSettings


def run_model(
    data: str,
    out: Path,
    *,
    make_sampler: Callable[[], Sampler],
    num_workers: int,
    media: MediaSettings,
    settings: Mapping[str, Any],
    reading: Mapping[str, Any],
    cache: Path | None,
    dry_run: bool,
) -> int:
    """Makes pairs with a language model and writes them to a folder; returns 1 if no answer was edited."""
    chosen = _settings(settings)
    originals, report = load_originals(data, **reading)
    sampler = make_sampler()
    if not sampler.uses_chat_template:
        raise UserError(
            f"{sampler.name} has no chat template, and an oracle has to follow instructions. Set `--model` to one "
            "that was trained on them."
        )
    described = describe_run(chosen, sampler.name, report)
    with answers_of(out, described, cache, dry_run=dry_run) as answers:
        _print_cost(plan_cost(originals, sampler, answers, chosen), chosen, len(originals), sampler.name)
        if answers is None or dry_run:
            return 0
        families, tokens = augment_with_model(originals, sampler, answers, chosen, num_workers)
    return _finish(out, families, tokens, report, described)


def run_rules(
    data: str,
    out: Path,
    *,
    rules: str,
    settings: Mapping[str, Any],
    reading: Mapping[str, Any],
    cache: Path | None,
    dry_run: bool,
) -> int:
    """Makes pairs with rules of the user's, without a call; returns 1 if no answer was edited."""
    chosen = _settings(settings)
    if cache is not None:
        raise UserError("`--cache` keeps the answers of a model; with `--oracle` there are none. Leave it out.")
    oracle = None if rules == RRM else load_rules(rules, chosen.neutrals)
    for name in ("num_attributes", "neutrals", "ties_of") if oracle is None else ():
        if getattr(chosen, name) != getattr(CromeSettings(), name):
            raise UserError(f"`--oracle {RRM}` edits nothing and has ties of its own: leave `--{name}` out.")
    originals, report = load_originals(data, **reading)
    name = RRM if oracle is None else oracle[0].name
    described = describe_run(chosen, name, report, {} if oracle is None else {"rules": describe_file(oracle[1])})
    (check_folder if dry_run else claim_folder)(out, described)
    print(f"No call and no token for {len(originals):,} pairs: {name} is the oracle.")
    if dry_run:
        return 0
    if oracle is None:
        families = rrm_families(originals, chosen.seed)
    else:
        families = augment_with_rules(originals, oracle[0], chosen)
    return _finish(out, families, Tokens(), report, described)


def _settings(given: Mapping[str, Any]) -> CromeSettings:
    """Reads the kinds of ties, which the command line names with commas between, and the file of phrases."""
    neutrals = [name.strip() for name in given["neutrals"].split(",")]
    phrases = () if given["phrases"] is None else load_phrases(given["phrases"], "--phrases")
    return CromeSettings(**dict(given) | {"neutrals": neutrals, "phrases": phrases})


def _print_cost(cost: Cost, settings: CromeSettings, num_originals: int, name: str) -> None:
    if not cost.num_calls:
        print(f"No call is left: {cost.num_known:,} answers are known.")
        return
    print(
        f"{cost.num_calls:,} calls to {name} for {num_originals:,} pairs, if every reply can be read and every edit "
        f"passes: about {cost.prompt_tokens:,} prompt tokens and {cost.reply_tokens:,} of replies."
    )
    print(
        f"At most {cost.most_calls:,} calls, {cost.most_prompt_tokens:,} prompt tokens and "
        f"{cost.most_reply_tokens:,} of replies, if each reply has {settings.max_new_tokens:,} tokens "
        "(`--max_new_tokens`) and is asked for again as often as allowed."
    )
    if cost.num_known:
        print(f"{cost.num_known:,} more are answered already.")


AUGMENT = Augmentation(tuple(each.name for each in fields(EditOptions)), run_model, run_rules, "oracle")


RUBRICS_FILE = "rubrics.jsonl"


def describe_run(
    settings: CromeSettings, generator: str, report: DataReport, rules: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Lists what decides the pairs of a run; rules, as they are described, have no settings of a model."""
    idle = (() if settings.phrases else ("phrases",)) + (() if rules is None else ("temperature", "max_new_tokens"))
    own = {name: value for name, value in asdict(settings).items() if name not in idle}
    return {"method": "crome", "generator": generator, "data": describe_data(report.file), **own, **(rules or {})}


def _finish(out: Path, families: Sequence[Family], tokens: Tokens, report: DataReport, run: Mapping[str, Any]) -> int:
    """Writes the files of a finished run, counts what came out, and returns 1 if no answer was edited."""
    rows = [row for family in families for row in family.rows]
    new = [row for row in rows if row["id"] != row["origin"]]
    left_out = [each for family in families for each in family.left_out]
    made, missing = Counter(row["source"] for row in rows), defaultdict[str, Counter[str]](Counter)
    for each in left_out:
        missing[each.source][each.reason] += 1
    edited = made["upgrade"] + made["degrade"] + made[OWN]
    counts = {
        "originals": len(families),
        "new_pairs": len(new),
        "edited_pairs": edited,
        "ties": sum(row["tie"] for row in new),
        "originals_without_edits": sum(not any(row["check"] for row in family.rows) for family in families),
        "left_out": len(left_out),
    }
    reasons = {source: dict(each.most_common()) for source, each in missing.items()}
    parts = {"sources": dict(made), "left_out": reasons, "bad_rows": report.reasons, "tokens": asdict(tokens)}
    card = build_card(report, run, counts, **parts)
    rubrics = [
        {"origin": family.original.id, "attributes": [
            each.attribute.model_dump() | {"elements": [element.model_dump() for element in each.elements]}
            for each in family.profiles
        ]}
        for family in families
    ]  # fmt: skip
    others = {LEFT_OUT_FILE: [each._asdict() for each in left_out], RUBRICS_FILE: rubrics}
    write_folder(out, rows, others, card, "crome/augmentation/card.md.j2")
    end = f"No answer was edited. {out / LEFT_OUT_FILE} says why."
    if edited:
        end = f"The pairs are in {out / PAIRS_FILE}, what could not be made in {LEFT_OUT_FILE} beside it."
    if any(each.reason.endswith(CUT_OFF) for each in left_out):
        end = f"Replies were cut off: a larger `--max_new_tokens` and a new `--out` give them room.\n{end}"
    listed = {f"{source}, {reason}": number for source, each in reasons.items() for reason, number in each.items()}
    print_card(card, [(number, f"pairs: {source}") for source, number in made.items()], listed, end)
    return int(not edited)


RRM = "rrm"  # in place of a path to rules
OWN, FOREIGN = "own_answer", "foreign_answers"  # sources: pairs with an order, and ties
KEPT = 0.5


def rrm_families(originals: Sequence[RewardPair], seed: int, kept: float = KEPT) -> list[Family]:
    """Makes RRM's pairs of each original, which depend on the list of originals and the seed alone."""
    families = []
    for i, original in enumerate(originals):
        family = Family(original)
        own = (original.chosen, original.rejected)
        family.rows.append(make_row(original, original.id, original.source, own))
        rng = random.Random(f"{seed}/{RRM}/{original.id}")
        others = [draw_other(originals, i, rng) for _ in range(2)]
        foreign = list(dict.fromkeys(text for other in others if other for text in (other.chosen, other.rejected)))
        made = [(OWN, answers) for answers in product(own, foreign) if answers[0] != answers[1]]
        made += [(FOREIGN, answers) for answers in combinations(foreign, 2)]
        if not made:
            family.leave_out(OWN, None, NO_OTHER)
        for number, (source, answers) in enumerate(made):
            if rng.random() < kept:
                row = make_row(original, f"{original.id}/{source}/{number}", source, answers)
                family.rows.append(row | {"tie": source == FOREIGN})
        families.append(family)
    return families
