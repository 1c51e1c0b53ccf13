"""Cards of rewards: what was asked of a reward and found, with hashes of its code and of the rows."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from align.checks.finding import Finding
from align.checks.rewards import CARD, check_reward_model, code_of_reward, of_rates
from align.errors import UserError
from align.models.rewards import ModelSpec
from align.recipe.reward_settings import short_name
from align.report.page import write_page
from align.report.run.finding import LEVELS
from align.report.run.finding import Finding as Remark
from align.secrets import mask
from align.services.attack_page import shown
from align.services.attacked import verdict_of
from align.services.options import Attacking
from align.services.rewards import Asked, ask, attack_specs, is_recipe, try_one, worded
from align.versions import installed_versions
from align.whole_files import as_json, write_whole
from rewards.running.contract import RewardSpec


def certify(subject: str, words: Sequence[str], out: Path, how: Attacking) -> tuple[list[Path], list[Finding]]:
    """Checks and attacks rewards, and writes a card for each; of a recipe and of several, in a folder by its name."""
    asked = ask(subject, words, how)
    if not asked.settings.rows:
        raise UserError("A card says what a reward pays on rows, and none are given. Name them with `--data`.")
    specs = [each for each in asked.specs if isinstance(each, ModelSpec | RewardSpec)]  # and no sum of them
    if how.environment or not specs:
        raise UserError("A card is of a reward of texts. Episodes are attacked by `align rewards attack`.")
    names = [short_name(each.spec) for each in specs]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise UserError(f"Two rewards are called `{twice}`, and cards are named by them. Certify one at a time.")
    cards, findings = [], []
    for spec, name in zip(specs, names, strict=True):
        folder = out / name if is_recipe(subject) or len(specs) > 1 else out
        card = {"reward": name, "from": how.data or subject, **make_card(spec, asked, how)}
        write_whole(folder / CARD, json.dumps(as_json(mask(card)), indent=1, ensure_ascii=False) + "\n")
        _write_page(mask(card), folder / "card.html")
        cards.append(folder / CARD)
        findings += [Finding(**each) for found in card["found"].values() for each in found]
    return cards, findings


@worded()
def make_card(spec: ModelSpec | RewardSpec, asked: Asked, how: Attacking) -> dict[str, Any]:
    """Asks what there is to ask of a reward."""
    rows, settings = asked.settings.rows, asked.settings._replace(form=asked.settings.form or "messages")
    if isinstance(spec, ModelSpec):
        code = code_of_reward(spec.path)
        contract = check_reward_model(spec.spec, spec.path, [row["prompt"] for row in rows])
    else:
        code, contract = code_of_reward(spec), try_one(spec, settings, asked.handling)
    (attacked,) = attack_specs([spec], asked.settings, how.time_limit, **asked.how)
    contract = [
        each._replace(numbers=each.numbers | {"spec": spec.spec})
        for each in contract
        if each.numbers.get("kind") != "errors"  # of which the attack has more rows
    ]
    found = {"contract": contract, "attack": attacked.findings}
    told = json.dumps([dict(row) for row in rows], sort_keys=True, default=str)
    return {
        "spec": spec.spec,
        "settings": dict(getattr(spec, "kwargs", {})),
        "verdict": verdict_of(attacked.findings),
        "code": code._asdict(),
        "data": {"rows": len(rows), "sha256": sha256(told.encode()).hexdigest()},
        "errors": attacked.result.errors and of_rates(attacked.result.errors),
        "asked": {"gold": how.gold, "samples": how.samples, "hacks": len(asked.how["hacks"]), "limit": how.limit},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": installed_versions(),
        "found": {of: [each.without_samples() for each in findings] for of, findings in found.items()},
    }


def _write_page(card: Mapping[str, Any], out: Path) -> None:
    found = card["found"]["contract"]
    write_page(
        "card.html.j2",
        out,
        card=card,
        title=f"Reward {card['reward']}",
        findings=[Remark(e["check"], e["text"], LEVELS[e["level"]]) for e in found if e["level"] != "ok"],
        notes=[each["text"] for each in found if each["level"] == "ok"],
        reward=shown(card["reward"], card["verdict"], [Finding(**each) for each in card["found"]["attack"]]),
    )
