"""What an evaluation of policies was run on, and how."""

import shlex
from collections.abc import Sequence

from align.evaluation.record.policies import About, AskedModel
from align.report.evaluation.view import Grid
from align.report.run.facts import flat


def policy_facts(about: About) -> dict[str, str]:
    """Lists data, decoding and suites, by the name to show."""
    data, profile = about.data, about.profile
    greedy = not profile.temperature
    decoding = "greedy" if greedy else f"temperature {profile.temperature}, top_p {profile.top_p}"
    facts = {
        "Data": f"{data.path}" + (f" ({data.split})" if data.split else ""),
        "Fingerprint of the data": data.fingerprint[:12],
        "Questions": f"{data.questions:,}",
        "Groups": flat(data.groups) or "none",
        "Options that may not be moved": str(data.unshufflable),
        "Decoding": f"{decoding}, {profile.num_samples} sample(s)",
        "Longest completion, tokens": str(profile.max_new_tokens),
        "Shuffles per question": str(profile.num_shuffles),
        "Seed": str(profile.seed),
        "Suites": ", ".join(about.suites),
        "Written": about.created.replace("T", " ")[:19],
        "Time": f"{about.seconds:.0f} s",
    }
    if data.left_out:
        facts["Rows left out"] = flat(data.left_out)
    for role, source in (("Judge", about.judge), ("Verifier", about.verifier)):
        if source is not None:
            facts[role] = f"{source.path} ({source.fingerprint[:12]})"
    return facts


def policy_models(models: Sequence[AskedModel]) -> Grid:
    """Tabulates the models, with the fingerprint that tells one checkpoint from another."""
    columns = ("Model", "Role", "Path", "Fingerprint", "Kind", "Type", "Backend", "Time", "From the cache")
    return Grid(columns, [_row(model) for model in models])


def policy_details(about: About) -> dict[str, str]:
    """Returns the command, the prompt and the versions, by the title to show."""
    profile = about.profile
    parts = [f"System: {profile.system_prompt}"] if profile.system_prompt else []
    tags = f"Tags: <{profile.think_tag}> and <{profile.answer_tag}>."
    template = "With the model's chat template." if profile.conversational else "Without a chat template."
    parts += [profile.prompt_template or "(the default prompt)", f"{tags} {template}"]
    return {
        "Command": shlex.join(about.command),
        "Prompt": "\n\n".join(parts),
        "Versions": "\n".join(f"{name} {value}" for name, value in about.versions.items() if value is not None),
    }


def _row(model: AskedModel) -> tuple[str, ...]:
    kind = model.kind + (f" of {model.base}" if model.base else "")
    first = (model.name, model.role, model.path, model.fingerprint[:12], kind)
    return (*first, model.dtype, model.backend, f"{model.seconds:.0f} s", str(model.cached_items))
