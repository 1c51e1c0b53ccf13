"""`align eval`: policies or reward models, by what the command line names."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.cli.evaluation.options import ByRewards, Measured, OfRewardModels, OnPairs, Prompts, Sampling
from align.cli.options import Media
from align.console import say
from align.errors import DataError, UserError
from align.secrets import mask_words

if TYPE_CHECKING:
    from align.data.kinds import Kind

PROMPT_OPTIONS = tuple(each.name for each in fields(Prompts) if each.name != "recipe")
DECODING_OPTIONS = tuple(each.name for each in fields(Sampling))
MEDIA_OPTIONS = tuple(each.name for each in fields(Media))
MEASURED = tuple(each.name for each in fields(Measured))
BY_REWARDS = tuple(each.name for each in fields(ByRewards))
ON_PAIRS = tuple(each.name for each in fields(OnPairs))
POLICY_OPTIONS = (*PROMPT_OPTIONS, *DECODING_OPTIONS, *MEDIA_OPTIONS, *MEASURED, *BY_REWARDS, *ON_PAIRS, "suite",
                  "recipe", "adapter")  # fmt: skip
# What says how questions are asked, and what is measured of them.
OF_QUESTIONS = ("suite", "adapter", "prompt_template", "system_prompt", "conversational", "num_shuffles",
                "common_group", "counter_group", "judge", "verifier", "verifier_threshold")  # fmt: skip
BELOW = "evaluation"  # in the folder of a run
LOG = "metrics.jsonl"  # which every run has
REWARD_OPTIONS = tuple(each.name for each in fields(OfRewardModels))


def run(options: Mapping[str, Any], given: set[str]) -> None:
    """Evaluates.

    Args:
        options: Value of every option.
        given: Names of those that the command line named.
    """
    if (options["model"] is None) == (options["reward_model"] is None):
        raise UserError("Give `--model` (a policy) or `--reward_model`, one of the two.")
    if options["on_bad_rows"] not in ("raise", "skip"):
        raise UserError(f"`on_bad_rows` must be raise or skip, got {options['on_bad_rows']!r}.")
    kind, foreign = ("--model", REWARD_OPTIONS) if options["model"] is not None else ("--reward_model", POLICY_OPTIONS)
    if wrong := sorted(given & set(foreign)):
        raise UserError(f"`--{wrong[0]}` does not go with `{kind}`. Leave it out.")
    options = dict(options) | {"out": _place(Path(options["out"]))}
    from align.data.kinds import PAIRS

    if options["model"] is None:
        with _naming(options, PAIRS):
            _run_rewards(options)
        return
    task = _task(options)
    not_of: dict[str, set[str]] = {
        "questions": {*BY_REWARDS, *ON_PAIRS},
        "prompts": {*OF_QUESTIONS, *ON_PAIRS},
        "pairs": ({*OF_QUESTIONS} - {"judge", "adapter"}) | {*BY_REWARDS, "num_samples", "backend"},
    }
    if wrong := sorted(given & not_of[task]):
        raise UserError(f"`--{wrong[0]}` does not go with {_ASKED[task]}. Leave it out.")
    _run_task(task, options, given)


def _place(out: Path) -> Path:
    """Puts an evaluation below a run folder and not over it: both have a `report.html`."""
    if not (out / LOG).is_file():
        return out
    say(f"{out} is the folder of a run, so the evaluation goes to {out / BELOW}.")
    return out / BELOW


def _run_rewards(options: Mapping[str, Any]) -> None:
    from align.cli.evaluation.reward_models import RewardWords, run

    names = set(RewardWords.__dataclass_fields__) - {"baseline", "batch_size"}
    if options["prompt_format"] not in ("auto", "messages", "data"):
        raise UserError(f"`prompt_format` must be auto, messages or data, got {options['prompt_format']!r}.")
    run(
        RewardWords(
            baseline=tuple(options["baseline"]),
            batch_size=options["batch_size"] or 16,
            **{name: options[name] for name in names},
        )
    )


_READING = ("data", "split", "max_rows", "on_bad_rows")
_ASKED = {"questions": "multiple-choice questions", "prompts": "prompts and rewards", "pairs": "pairs"}


def _run_task(task: str, options: Mapping[str, Any], given: set[str]) -> None:
    from align.data.kinds import PAIRS, PROMPTS, QUESTIONS

    run, kind = {
        "questions": (_run_policies, QUESTIONS),
        "prompts": (_run_prompts, PROMPTS),
        "pairs": (_run_pairs, PAIRS),
    }[task]
    with _naming(options, kind):
        run(options, given)


@contextmanager
def _naming(options: Mapping[str, Any], kind: "Kind") -> Iterator[None]:
    """Says what a file is that was read as something else."""
    try:
        yield
    except DataError as error:
        from align.cli.evaluation.supported import name_the_file

        path = options["data"]
        found = "" if path is None or options["adapter"] else name_the_file(path, options["split"], kind)
        if not found:
            raise
        raise DataError(f"{found} Read as {kind.name}: {error}") from error


def _task(options: Mapping[str, Any]) -> str:
    """Tells what a policy is asked by the options and, where these leave it open, by the rows of the file."""
    if options["rewards"]:
        return "prompts"
    from align.data.kinds import PAIRS, PROMPTS, first_columns, tell_kind
    from align.data.pairs.preference_adapters import PREFERENCE_ADAPTERS

    if options["adapter"] in PREFERENCE_ADAPTERS:
        return "pairs"
    if options["data"] is None or options["adapter"] or options["suite"]:
        return "questions"
    kind = tell_kind(first_columns(options["data"], options["split"]))
    return {PROMPTS: "prompts", PAIRS: "pairs"}.get(kind, "questions") if kind else "questions"


def _run_prompts(options: Mapping[str, Any], given: set[str]) -> None:
    from align.cli.evaluation.measured_rewards import RewardWords, find_rewards
    from align.cli.evaluation.plan import prompt_settings, recipe_path
    from align.cli.evaluation.prompts import PromptWords, run
    from align.cli.media import media_settings
    from align.recipe.recipe import load_recipe

    if options["data"] is None:
        raise UserError("There is nothing to ask. Give `--data` with prompts and what rewards read.")
    path = recipe_path(options["recipe"], options["model"])
    recipe = None if path is None else load_recipe(path)
    chosen: dict[str, Any] = {
        name: options[name] for name in ("think_tag", "answer_tag", "max_new_tokens") if name in given
    }
    settings = prompt_settings(recipe, chosen)
    reward_words = RewardWords(options["rewards"], **{name: options[name] for name in RewardWords._fields[1:]})
    media = {name: options[name] for name in MEDIA_OPTIONS if name in given}
    run(
        PromptWords(
            models=(options["model"], *options["baseline"]),
            called=find_rewards(reward_words, recipe, settings.response_format),
            decoding=_decoding(options, settings.max_new_tokens),
            media=media_settings(path, options["data"], media),
            columns=_columns(recipe, options),
            pass_at_k=tuple(map(_whole, options["pass_at_k"])),
            recipe=path,
            engine=_engine(options),
            command=_command(options, given),
            **{name: options[name] for name in (*_READING, "right_from", "out")},
        )
    )


def _run_pairs(options: Mapping[str, Any], given: set[str]) -> None:
    from align.cli.evaluation.pairs import PairWords, find_reference, run
    from align.cli.evaluation.plan import prompt_settings, recipe_path
    from align.recipe.recipe import load_recipe

    if options["data"] is None:
        raise UserError("There is nothing to read. Give `--data` with pairs.")
    path = recipe_path(options["recipe"], options["model"])
    recipe = None if path is None else load_recipe(path)
    chosen: dict[str, Any] = {name: options[name] for name in ("max_new_tokens",) if name in given}
    models = (options["model"], *options["baseline"])
    run(
        PairWords(
            models=models,
            reference=find_reference(options["reference"], models, recipe),
            decoding=_decoding(options, prompt_settings(recipe, chosen).max_new_tokens),
            columns=_columns(recipe, options),
            recipe=path,
            engine=_engine(options),
            command=_command(options, given),
            **{name: options[name] for name in (*_READING, "adapter", "judge", "out")},
        )
    )


def _columns(recipe: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the recipe's names of columns, if the rows have them; others have our names."""
    from align.data.kinds import first_columns

    renamed = getattr(recipe and recipe.dataset, "columns", {})
    names = {name for each in renamed.values() for name in ([each] if isinstance(each, str) else each)}
    return renamed if names and names <= set(first_columns(options["data"], options["split"])) else {}


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UserError(f"`--pass_at_k` takes whole numbers, got {word!r}.") from None


def _engine(options: Mapping[str, Any]) -> Any:
    from align.cli.evaluation.asked_models import Engine

    size = 32 if options["batch_size"] is None else options["batch_size"]
    return Engine(options["backend"], options["dtype"], options["device"], size)


def _decoding(options: Mapping[str, Any], max_new_tokens: int) -> Any:
    from align.models.policies.asking import Decoding

    chosen = {name: options[name] for name in DECODING_OPTIONS}
    return Decoding(max_new_tokens=max_new_tokens, seed=options["seed"], **chosen)


def _run_policies(options: Mapping[str, Any], given: set[str]) -> None:
    from align.cli.evaluation.plan import prompting
    from align.cli.evaluation.policies import run
    from align.cli.evaluation.policy_words import PolicyWords
    from align.cli.media import media_settings
    from align.evaluation.policies.suite import SuiteSettings

    chosen = {name: options[name] for name in PROMPT_OPTIONS if name in given}
    prompts, recipe = prompting(options["recipe"], options["model"], chosen)
    decoding = _decoding(options, prompts.max_new_tokens)
    media = {name: options[name] for name in MEDIA_OPTIONS if name in given}
    suites = {"suites": tuple(options["suite"])} if options["suite"] else {}
    settings = SuiteSettings(
        **suites, decoding=decoding, num_shuffles=options["num_shuffles"], seed=options["seed"], pair=_pair(options)
    )
    run(
        PolicyWords(
            models=(options["model"], *options["baseline"]),
            settings=settings,
            named_suites=bool(options["suite"]),
            prompting=prompts,
            media=media_settings(recipe, options["data"], media),
            recipe=recipe,
            out=Path(options["out"]),
            engine=_engine(options),
            command=_command(options, given),
            **{name: options[name] for name in _SAME},
        )
    )


_SAME = (*_READING, "adapter", "judge", "verifier", "verifier_threshold")


def _command(options: Mapping[str, Any], given: set[str]) -> tuple[str, ...]:
    """Writes the options that were given as they could be given again."""
    found: list[str] = []
    for name in (name for name in options if name in given):
        value = options[name]
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no-{name}")
        else:
            found += [f"--{name}", *([str(value)] if not isinstance(value, tuple) else value)]
    return tuple(mask_words(found))


def _pair(options: Mapping[str, Any]) -> tuple[str, str] | None:
    pair = options["common_group"], options["counter_group"]
    if pair == (None, None):
        return None
    if None in pair:
        raise UserError("`--common_group` and `--counter_group` go together. Give both.")
    return pair
