"""What an evaluation of policies was run on, and how."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from align.report.evaluation.view import Grid
from align.report.run.facts import flat


def policy_facts(about: Mapping[str, Any]) -> dict[str, str]:
    """Lists data, decoding and suites, by the name to show."""
    data, profile = about["data"], about["profile"]
    temperature = profile.get("temperature")
    decoding = "greedy" if not temperature else f"temperature {temperature}, top_p {profile.get('top_p')}"
    facts = {
        "Data": f"{data['path']}" + (f" ({data['split']})" if data.get("split") else ""),
        "Fingerprint of the data": str(data.get("fingerprint"))[:12],
        "Questions": f"{data.get('questions', 0):,}",
        "Groups": flat(data.get("groups") or {}) or "none",
        "Options that may not be moved": str(data.get("unshufflable", 0)),
        "Decoding": f"{decoding}, {profile.get('num_samples')} sample(s)",
        "Longest completion, tokens": str(profile.get("max_new_tokens")),
        "Shuffles per question": str(profile.get("num_shuffles")),
        "Seed": str(profile.get("seed")),
        "Suites": ", ".join(about["suites"]),
        "Written": str(about.get("created", "")).replace("T", " ")[:19],
        "Time": f"{about.get('seconds', 0):.0f} s",
    }
    if data.get("left_out"):
        facts["Rows left out"] = flat(data["left_out"])
    for role in ("judge", "verifier"):
        if about.get(role):
            facts[role.capitalize()] = f"{about[role]['path']} ({str(about[role].get('fingerprint'))[:12]})"
    return facts


def policy_models(models: Sequence[Mapping[str, Any]]) -> Grid:
    """Tabulates the models, with the fingerprint that tells one checkpoint from another."""
    columns = ("Model", "Role", "Path", "Fingerprint", "Kind", "Type", "Backend", "Time", "From the cache")
    rows = []
    for model in models:
        kind = str(model.get("kind", "")) + (f" of {model['base']}" if model.get("base") else "")
        short = str(model.get("fingerprint", ""))[:12]
        time = f"{model.get('seconds') or 0:.0f} s"
        first = (str(model["name"]), str(model.get("role", "")), str(model.get("path", "")), short, kind)
        rows.append(
            (
                *first,
                str(model.get("dtype", "")),
                str(model.get("backend", "")),
                time,
                str(model.get("cached_items", 0)),
            )
        )
    return Grid(columns, rows)


def policy_details(about: Mapping[str, Any]) -> dict[str, str]:
    """Returns the command, the prompt and the versions, by the title to show."""
    profile, versions = about["profile"], about.get("versions") or {}
    parts = [f"System: {profile['system_prompt']}"] if profile.get("system_prompt") else []
    tags = f"Tags: <{profile.get('think_tag')}> and <{profile.get('answer_tag')}>."
    template = "With the model's chat template." if profile.get("conversational") else "Without a chat template."
    parts += [str(profile.get("prompt_template") or "(the default prompt)"), f"{tags} {template}"]
    return {
        "Command": shlex.join(map(str, about.get("command") or [])),
        "Prompt": "\n\n".join(parts),
        "Versions": "\n".join(f"{name} {value}" for name, value in versions.items() if value is not None),
    }
