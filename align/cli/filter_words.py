"""What `align filter` is asked to keep, from the values of its options."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align.errors import UserError


def check_options(given: set[str], of_pairs: set[str], of_samples: set[str]) -> None:
    """Refuses options that do not go together.

    Args:
        given: Options that were written.
        of_pairs: Options about pairs.
        of_samples: Options about samples.

    Raises:
        UserError: If it is not said, or said twice, what is kept.
    """
    if ("base" in given) == ("model" in given):
        got = "both" if "base" in given else "none"
        raise UserError(
            "Say what is kept, with one of `--base REWARD_MODEL` (pairs) and `--model POLICY --verifier REWARD` "
            f"(samples); got {got}."
        )
    wrong, about = (of_samples, "pairs") if "base" in given else (of_pairs, "samples")
    if names := sorted(given & wrong):
        raise UserError(f"`--{names[0]}` does not go with {about}. Leave it out.")
    if "model" in given and "verifier" not in given:
        raise UserError("`--model` needs `--verifier`, the reward that accepts samples, such as number_accuracy.")


def run_sampled(data: str, out: Path, options: Mapping[str, Any]) -> int:
    """Samples a policy and keeps what the verifier accepts, or the prompts it accepts some samples of."""
    from align.cli.sampled_filter import SampledWords, read_pass_rate, run
    from align.evaluation.asked_models import Engine
    from align.evaluation.prompting import named_columns, prompt_settings, prompts_made_by, recipe_path, say_made
    from align.evaluation.prompts.measured_rewards import RewardWords, find_rewards
    from align.models.policies.asking import Decoding
    from align.recipe.recipe import load_recipe

    if out.suffix != ".jsonl" or out.exists():
        raise UserError(f"`out` must name a new .jsonl file, got {out}{' that exists' if out.exists() else ''}.")
    if options["on_bad_rows"] not in ("raise", "skip"):
        raise UserError(f"`on_bad_rows` must be raise or skip, got {options['on_bad_rows']!r}.")
    if options["verifier_threshold"] != options["verifier_threshold"]:
        raise UserError("`verifier_threshold` must be a number, got nan. Values above it are accepted.")
    if options["right_from"] is not None and options["audit"] is None:
        raise UserError("`--right_from` says what is right in `--audit`, and there is none. Give both, or neither.")
    within = None if options["pass_rate"] is None else read_pass_rate(options["pass_rate"])
    path = recipe_path(options["recipe"], options["model"])
    recipe = None if path is None else load_recipe(path)
    settings = prompt_settings(recipe, {"max_new_tokens": options["max_new_tokens"]})
    specs = tuple(spec for spec in (options["verifier"], options["audit"]) if spec is not None)
    words = RewardWords(specs, **{name: options[name] for name in RewardWords._fields[1:]})
    decoding = {name: options[name] for name in ("temperature", "top_p", "num_samples", "seed")}
    engine = Engine(*(options[name] for name in ("backend", "dtype", "device", "batch_size")))
    columns = named_columns(recipe, data, options["split"])
    template = prompts_made_by(recipe, data, options["split"], columns)
    if template is not None and path is not None:
        say_made(template, path)
    return run(
        SampledWords(
            data=data,
            out=out,
            threshold=options["verifier_threshold"],
            pass_rate=within,
            decoding=Decoding(max_new_tokens=settings.max_new_tokens, **decoding),
            columns=columns,
            template=template,
            engine=engine,
            called=find_rewards(words, recipe, settings.response_format),
            **{name: options[name] for name in ("model", "right_from", "cache", "split", "max_rows", "on_bad_rows")},
        )
    )
