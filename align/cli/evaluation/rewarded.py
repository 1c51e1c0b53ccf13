"""Rewards about what policies answered: looked at before anything is generated, and called one after the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.cli.evaluation.asked_models import Engine
from align.cli.evaluation.measured_rewards import CalledRewards, NamedReward, check_invalid
from align.cli.evaluation.progress import Stages
from align.data.prompt_rows import PromptRow, prompts_to_rows
from align.errors import UserError
from align.evaluation.divided.division import current
from align.evaluation.prompts.rewarding import Rewarded, ask_reward_model, call_reward, check_columns
from align.models.policies.asking import Completion


def check_rewards(rewards: Sequence[NamedReward], prompts: Sequence[PromptRow]) -> None:
    """Refuses, before anything is generated, what cannot be called on these rows.

    Raises:
        UserError: At the first reward that cannot.
    """
    from align.checks.reward_models import check_reward_model

    rows = prompts_to_rows(list(prompts))
    for each in rewards:
        if not isinstance(each.reward, str):
            check_columns(each.reward, rows)
        elif not (Path(each.reward) / "adapter_config.json").is_file():  # of an adapter the loader knows more
            found = check_reward_model(each.spec, each.reward, [row["prompt"] for row in rows])
            if errors := [finding.text for finding in found if finding.level == "error"]:
                raise UserError(errors[0])


def reward_all(
    called: CalledRewards,
    engine: Engine,
    prompts: Sequence[PromptRow],
    completions: Mapping[str, Sequence[Sequence[Completion]]],
    stages: Stages,
) -> dict[str, dict[str, Rewarded]]:
    """Calls the rewards on the samples of each policy, so that one reward model is in memory at a time.

    Of several processes one calls functions, which may cost something or have a memory; models are asked by all.

    Returns:
        By policy and reward.

    Raises:
        RewardError: If a reward fails as often as would end training.
    """
    rewarded: dict[str, dict[str, Rewarded]] = {name: {} for name in completions}
    for each in called.rewards:
        score: Any = _reward_model(each.reward, engine) if isinstance(each.reward, str) else None
        for name, answered in completions.items():
            stages.start(name)
            if isinstance(each.reward, str):
                rewarded[name][each.name] = ask_reward_model(score, prompts, answered)
                continue
            if not current().is_main:
                continue
            found = call_reward(each.reward, prompts, answered, stages.advance)
            texts = [completion.text for group in answered for completion in group]
            shown = [row.prompt for row, group in zip(prompts, answered, strict=True) for _ in group]
            check_invalid(each.name, found, shown, texts, called)
            rewarded[name][each.name] = found
    return rewarded


def _reward_model(path: str, engine: Engine) -> Any:
    from align.evaluation.reward_models.reward_model import RewardModel

    model = RewardModel.load(
        path, dtype=engine.dtype, device=engine.device, batch_size=engine.batch_size, on_too_long="nan", progress=True
    )
    return model.score
