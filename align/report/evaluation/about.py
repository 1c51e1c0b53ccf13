"""What an evaluation of policies was run on, and how."""

import shlex
from collections.abc import Sequence

from align.evaluation.record.answers import AskedModel, Decoded, Items, Run
from align.evaluation.record.pairs import AboutPairs
from align.evaluation.record.policies import About, Profile
from align.evaluation.record.prompts import AboutPrompts, MeasuredReward
from align.evaluation.record.suites import AboutSuite
from align.report.evaluation.items import count
from align.report.evaluation.view import Grid
from align.report.run.facts import flat

_LONG = 200  # characters


def policy_facts(about: About) -> dict[str, str]:
    """Lists data, decoding and suites, by the name to show."""
    profile = about.profile
    facts = _of_items(about.data, "Questions") | {
        "Options that may not be moved": str(about.data.unshufflable),
        **_decoding(profile),
        "Shuffles per question": str(profile.num_shuffles),
        "Suites": ", ".join(about.suites),
        **_when(about),
    }
    for role, source in (("Judge", about.judge), ("Verifier", about.verifier)):
        if source is not None:
            facts[role] = f"{source.path} ({source.fingerprint[:12]})"
    return facts


def prompts_facts(about: AboutPrompts) -> dict[str, str]:
    """Lists data, decoding and rewards, by the name to show."""
    rewards = {"Rewards": "; ".join(map(_reward, about.rewards))}
    return _of_items(about.data, "Prompts") | _decoding(about.profile) | rewards | _when(about)


def pairs_facts(about: AboutPairs) -> dict[str, str]:
    """Lists data, reference and judge, by the name to show."""
    facts = _of_items(about.data, "Pairs") | {"Pairs with marked tokens": f"{about.with_marks:,}"}
    for role, source in (("Reference", about.reference), ("Judge", about.judge)):
        if source is not None:
            facts[role] = f"{source.path} ({source.fingerprint[:12]})"
    return facts | (_decoding(about.profile) if about.profile else {}) | _when(about)


def suite_facts(about: AboutSuite) -> dict[str, str]:
    """Lists data, reference, judge, decoding and the suite's own settings, by the name to show."""
    facts = _of_items(about.data, about.rows.capitalize())
    for role, source in (("Reference", about.reference), ("Judge", about.judge)):
        if source is not None:
            facts[role] = f"{source.path} ({source.fingerprint[:12]})"
    settings = {name: text for name, text in _settings(about).items() if not _is_long(text)}
    return facts | _decoding(about.profile) | settings | _when(about)


def policy_models(models: Sequence[AskedModel]) -> Grid:
    """Tabulates the models, with the fingerprint that tells one checkpoint from another."""
    columns = ("Model", "Role", "Path", "Fingerprint", "Kind", "Type", "Backend", "Time", "From the cache")
    return Grid(columns, [_row(model) for model in models])


def policy_details(about: Run) -> dict[str, str]:
    """Returns the command, the prompt and the versions, by the title to show."""
    details = {"Command": shlex.join(about.command)}
    if isinstance(about, About):
        details["Prompt"] = _prompt(about.profile)
    if isinstance(about, AboutSuite):
        details |= {name: text for name, text in _settings(about).items() if _is_long(text)}
    versions = (f"{name} {value}" for name, value in about.versions.items() if value is not None)
    return details | {"Versions": "\n".join(versions)}


def _settings(about: AboutSuite) -> dict[str, str]:
    given = {name: value for name, value in about.settings.items() if value not in (None, [], {})}
    return {name: flat(value) if isinstance(value, dict) else str(value) for name, value in given.items()}


def _is_long(text: str) -> bool:
    """Whether a setting, such as a prompt of several lines, is too long for a list of facts."""
    return "\n" in text.strip() or len(text) > _LONG


def _of_items(data: Items, noun: str) -> dict[str, str]:
    facts = {
        "Data": f"{data.path or 'of the suite'}" + (f" ({data.split})" if data.split else ""),
        "Fingerprint of the data": data.fingerprint[:12],
        noun: f"{data.questions:,}",
        "Groups": flat(data.groups) or "none",
    }
    return facts | ({"Rows left out": flat(data.left_out)} if data.left_out else {})


def _decoding(profile: Decoded) -> dict[str, str]:
    how = f"temperature {profile.temperature}, top_p {profile.top_p}" if profile.temperature else "greedy"
    return {
        "Decoding": f"{how}, {count(profile.num_samples, 'sample')}",
        "Longest completion, tokens": str(profile.max_new_tokens),
        "Seed": str(profile.seed),
    }


def _when(about: Run) -> dict[str, str]:
    return {"Written": about.created.replace("T", " ")[:19], "Time": f"{about.seconds:.0f} s"}


def _prompt(profile: Profile) -> str:
    parts = [f"System: {profile.system_prompt}"] if profile.system_prompt else []
    tags = f"Tags: <{profile.think_tag}> and <{profile.answer_tag}>."
    template = "With the model's chat template." if profile.conversational else "Without a chat template."
    parts += [profile.prompt_template or "(the default prompt)", f"{tags} {template}"]
    return "\n\n".join(parts)


def _reward(reward: MeasuredReward) -> str:
    parts = [part for part in (reward.spec if reward.spec != reward.name else "", reward.role) if part]
    right = "" if reward.right_from is None else f", right from {reward.right_from:g}"
    return f"{reward.name} ({', '.join(parts)}{right})"


def _row(model: AskedModel) -> tuple[str, ...]:
    kind = model.kind + (f" of {model.base}" if model.base else "")
    first = (model.name, model.role, model.path, model.fingerprint[:12], kind)
    return (*first, model.dtype, model.backend, f"{model.seconds:.0f} s", str(model.cached_items))
