"""The recipe's rewards and families, tried on sample rows before training calls them a million times."""

import importlib.util
import json
import math
import os
import shlex
import sysconfig
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from align.checks.finding import Finding, Level
from align.checks.launch import Launch
from align.data.columns import Columns, guess_columns, word_mapping
from align.data.conversations import last_text
from align.data.stored_items import MadeRows
from align.data.tables.outcome_rows import SCALE_FILE
from align.data.versions import ORIGIN
from align.errors import UserError
from align.models.model_files import damages, pickled_weights
from align.models.rewards import named_rewards, response_format
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, short_name
from align.secrets import mask
from align.whole_files import as_json, object_in
from rewards.catalog import REWARDS
from rewards.running.contract import (
    Drain,
    Limits,
    Remote,
    RemoteSubject,
    RewardProblem,
    RewardSpec,
    Settings,
    Stopped,
    Tried,
    rarest_seen,
    try_reward,
)
from rewards.running.loading import code_of
from rewards.running.protocol import asks_a_model, reads_whole_batch, reward_name
from rewards.running.sources import Code, hash_files
from rewards.running.workers import WorkerError, WorkerPool

if TYPE_CHECKING:
    from rewards.error_rates import Errors

CARD = "card.json"
DOUBTED = ("gamed", "soft", "misread", "unclear", "failed")  # verdicts on it that a run is warned of
ROWS = 256
FIRST_ROWS = 16  # most calls are made with these
SLOW = ("hangs", "hangs_sometimes", "few_samples", "slow")  # what a flood of output explains


class Handling(NamedTuple):
    """What a run does about rewards that fail, which is what makes some failures bearable."""

    limits: Limits = Limits()
    memory_gb: float | None = None  # address space of a worker in GiB
    bearable: tuple[str, ...] = ()  # kinds of problems that cost rows and do not stop the run


def try_rewards(specs: Sequence[RewardSpec], settings: Settings, handling: Handling | None = None) -> list[Tried]:
    """Tries rewards one after the other in a worker process; a new one takes its place where a reward kills it."""
    handling = handling or Handling()
    settings = settings._replace(rows=spread(settings.rows))
    try:
        return _try_in_turn(specs, settings, handling)
    except WorkerError as error:
        raise UserError(f"Rewards are tried in a process of their own. {error}") from error


def load_rewards(specs: Sequence[RewardSpec], handling: Handling) -> list[RewardProblem]:
    """Loads rewards in a worker process, and lists those that do not come to an end there, or end it."""
    problems = []
    try:
        with Drain() as drain, WorkerPool(Remote(specs), memory_gb=handling.memory_gb, output=drain.inlet) as pool:
            for index, spec in enumerate(specs):
                try:
                    RemoteSubject(pool, index, spec.spec, handling.limits).describe()
                except Stopped as stopped:
                    problems += [stopped.problem] if stopped.problem.kind in ("hangs", "dies") else []
    except WorkerError as error:
        raise UserError(f"Rewards are loaded in a process of their own. {error}") from error
    return problems


def _try_in_turn(specs: Sequence[RewardSpec], settings: Settings, handling: Handling) -> list[Tried]:
    found = []
    with Drain() as drain, WorkerPool(Remote(specs), memory_gb=handling.memory_gb, output=drain.inlet) as pool:
        for index, spec in enumerate(specs):
            drain.start()
            subject = RemoteSubject(pool, index, spec.spec, handling.limits)
            tried = try_reward(subject, settings)
            if index and any(problem.kind == "not_found" for problem in tried.problems):
                # One before it may have broken the imports of the process that they share.
                found += _try_in_turn([spec], settings, handling)
                continue
            flood = drain.problems(tried.name)
            own = [problem for problem in tried.problems if not flood or problem.kind not in SLOW]
            found.append(tried._replace(problems=own + flood))
    return found


def trial_findings(spec: str, tried: Tried, completions_per_step: int, bearable: Sequence[str] = ()) -> list[Finding]:
    """Words what came of a trial: every problem, and how a reward without errors did."""
    findings = []
    for problem in tried.problems:
        level = "warning" if problem.kind in bearable else problem.level
        findings.append(Finding(level, "rewards", str(problem), {"reward": tried.name, "kind": problem.kind}))
    if any(finding.level == "error" for finding in findings) or tried.seconds_per_step is None:
        return findings
    numbers = {"reward": tried.name, "calls": tried.num_calls, "completions": tried.num_completions}
    seconds = f"{tried.seconds_per_step:.2g} s" if tried.seconds_per_step >= 0.01 else "0.01 s or less"
    calls = f"{tried.num_calls} sample call{'s' if tried.num_calls > 1 else ''}"
    text = (
        f"{spec} answers {calls} with {tried.num_completions} completions; about "
        f"{seconds} per step of {completions_per_step}."
    )
    if tried.num_compared and all(problem.kind != "not_deterministic" for problem in tried.problems):
        rarest = rarest_seen(tried.num_compared)
        text += f" A value that changed in 1 of {int(1 / rarest)} calls would be noticed 95 times of 100."
        numbers["rarest_change_seen"] = rarest
    findings.append(Finding("ok", "rewards", text, numbers | {"seconds_per_step": tried.seconds_per_step}))
    return [*findings, *([of_errors(tried.name, spec, tried.errors, "rewards")] if tried.errors else [])]


def of_errors(reward: str, spec: str, errors: "Errors", check: str) -> Finding:
    """Words both error rates of a reward, with the kind of writing that is taken wrongly most."""
    parts, rates = [], of_rates(errors)
    for (name, rate), does in zip(rates.items(), ("refuses", "pays"), strict=True):
        such = f", most often {rate['words']} ({rate['text']!r:.60})" if rate["hits"] else ""
        side = "right" if name == "fnr" else "wrong"
        share = getattr(errors, name)
        parts.append(f"{does} {share} of {side} answers written otherwise (n = {share.of}, {share.rows} rows{such})")
    numbers = {"reward": reward, "spec": spec, "kind": "errors", "errors": rates}
    return Finding("ok", check, f"`{reward}` {' and '.join(parts)}.", numbers)


def of_rates(errors: "Errors") -> dict[str, dict[str, Any]]:
    """Returns both error rates as a record holds them, each with the writing that is taken wrongly most."""
    found = {}
    for name, rate, is_right in (("fnr", errors.fnr, True), ("fpr", errors.fpr, False)):
        worst = next((each.example for each in errors.kinds if each.example.is_right is is_right), None)
        of_worst = {each: getattr(worst, each, "") for each in ("kind", "words", "text")} if rate.hits else {}
        found[name] = rate._asdict() | of_worst
    return found


def is_first_process() -> bool:
    """Tells whether this process tries rewards for all of a launch; a model in a reward is then loaded once."""
    return int(os.environ.get("RANK", "0")) == 0


def spread(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Picks rows from all over a data set, those of one `origin` together; the first of them are spread as well."""
    blocks = _blocks(rows)
    largest = max(map(len, blocks), default=1)
    chosen = _evenly(range(len(blocks)), ROWS // largest)
    first = _evenly(chosen, FIRST_ROWS // largest)
    order = (*first, *(index for index in chosen if index not in set(first)))
    return [rows[place] for index in order for place in blocks[index]]


def _blocks(rows: Sequence[Mapping[str, Any]]) -> list[range]:
    """Lists the places of rows in a row that one row was made into; a reward that compares them needs them all."""
    if isinstance(rows, MadeRows):  # each of an item of its own
        return [range(i, i + 1) for i in range(len(rows))]
    starts = [
        i for i, row in enumerate(rows) if not i or row.get(ORIGIN) is None or row[ORIGIN] != rows[i - 1].get(ORIGIN)
    ]
    found = [range(*each) for each in pairwise([*starts, len(rows)])]
    is_made = all(len(each) <= FIRST_ROWS for each in found)  # else the column is about something else
    return found if is_made else [range(i, i + 1) for i in range(len(rows))]


def _evenly(items: Sequence[int], count: int) -> list[int]:
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


SECONDS_PER_CALL = 5.0  # beside those for its completions, if the recipe limits them
SAY_NOTHING = ("constant", "reads_no_gold")
_PROMPTS = 256  # of rows, which a reward model's files are compared with


def check_loading(recipe: Recipe) -> list[Finding]:
    """Loads the user's own rewards in a process that can be killed, before this one; says which hang or die."""
    named = [each for each in named_rewards(recipe).values() if isinstance(each, RewardSpec)]
    own = [each for each in named if not _is_installed(each.spec)]
    if not own or not is_first_process():
        return []
    problems = load_rewards(own, handling_of(recipe))
    return [Finding("error", "rewards", str(problem), {"kind": problem.kind}) for problem in problems]


def _is_installed(spec: str) -> bool:
    if ":" in spec or spec.endswith(".py"):
        return False
    found = importlib.util.find_spec(spec.partition(".")[0]) if "." in spec else None
    return "." not in spec or bool(found and (found.origin or "").startswith(sysconfig.get_path("purelib")))


def check_rewards(recipe: Recipe, rewards: Sequence[Reward], rows: Sequence[dict[str, Any]]) -> list[Finding]:
    """Tries every reward on responses of many kinds to rows of the data; of reward models only the files are read."""
    asking = {spec for spec, reward in zip(recipe.reward_specs, rewards, strict=True) if asks_a_model(reward)}
    settings = trial_settings(recipe, rows)._replace(error_rates=recipe.is_checked)
    handling = handling_of(recipe)
    return check_together(recipe, rewards) + check_specs(
        recipe, settings, handling, asking if recipe.is_dry else set()
    )


def check_together(recipe: Recipe, rewards: Sequence[Reward]) -> list[Finding]:
    """Says what the method has against its rewards."""
    check = recipe.record.part("check_rewards")
    return [*(check(recipe, rewards) if check else []), *check_cards(recipe)]


def check_groups(recipe: Recipe, launch: Launch, rewards: Sequence[Reward]) -> list[Finding]:
    """Finds rewards that compare the completions of a prompt where those are of several processes."""
    settings, processes = recipe.settings, launch.num_processes
    comparing = [reward_name(each) for each in rewards if not isinstance(each, str) and reads_whole_batch(each)]
    if not comparing or processes == 1 or not hasattr(settings, "num_generations"):
        return []
    per_device, generations = int(settings.per_device_train_batch_size), int(settings.num_generations)
    times = int(settings.steps_per_generation or settings.gradient_accumulation_steps)  # that a process generates for
    key, size, step = "per_device_train_batch_size", per_device, generations // math.gcd(generations, times)
    if settings.generation_batch_size:
        key, size, times = "generation_batch_size", int(settings.generation_batch_size), 1
        step = math.lcm(generations, per_device) * processes
    if size % step == 0:
        return []
    text = (
        f"`{comparing[0]}` compares the {generations} completions of a prompt, and {processes} processes would cut "
        f"some prompts, which it would compare in part. Set `{key}: {math.ceil(size / step) * step}`."
    )
    return [Finding("error", "batch", text)]


def code_of_reward(named: str | RewardSpec) -> Code:
    """Hashes the code of a reward function, or the files of a reward model's folder."""
    if isinstance(named, RewardSpec):
        return code_of(named.spec, named.base_dir, REWARDS)
    files = [each for each in Path(named).rglob("*") if each.is_file()]
    if not files:
        raise ValueError(f"Reward {named!r} is a model that is not on this machine. Download it, and name its folder.")
    return hash_files(files, Path(named))


def check_cards(recipe: Recipe) -> list[Finding]:
    """Says which rewards have no card in the folder `require_cards`, or other code or settings than on it."""
    if (folder := recipe.rewards.require_cards) is None:
        return []
    cards = [object_in(each) for each in sorted([*Path(folder).glob(CARD), *Path(folder).glob(f"*/{CARD}")])]
    fix, named = shlex.join(["align", "rewards", "certify", str(recipe.path), "--out", folder]), named_rewards(recipe)
    findings = []
    for spec in recipe.reward_funcs:
        name, code = short_name(spec), code_of_reward(named[spec])
        settings = as_json(mask(dict(getattr(named[spec], "kwargs", {}))))
        own = [card for card in cards if card.get("reward") == name]
        found = {_difference(card, code, settings): card.get("verdict") for card in own}
        if "" in found:
            level: Level = "warning" if found[""] in DOUBTED else "ok"
            findings.append(Finding(level, "cards", f"`{name}` has a card: {found['']}.", {"reward": name}))
            continue
        why = next(iter(found), f"no card in {folder}; its code has the SHA-256 {code.sha256}")
        text = f"`require_cards`: reward `{name}` has {why}. Make its card anew, with the overrides of this command:"
        findings.append(Finding("error", "cards", f"{text} {fix}", {"reward": name, "sha256": code.sha256}, fix))
    return findings


def _difference(card: Mapping[str, Any], code: Code, settings: Mapping[str, Any]) -> str:
    """Says what a reward has that differs from its card; empty if nothing does."""
    before, known = card["code"]["sha256"], card["code"]["files"].items()
    if changed := sorted({file for file, _ in known ^ code.files.items()}):
        return (
            f"other code than on its card, in {', '.join(changed)}; its SHA-256 is {code.sha256}, on the card {before}"
        )
    told = f"other settings than on its card: {settings}, on the card {card['settings']}"
    return "" if settings == card["settings"] else told


def check_specs(
    recipe: Recipe, settings: Settings, handling: Handling, untried: Collection[str] = ()
) -> list[Finding]:
    """Tries the recipe's rewards without loading them into this process."""
    named = named_rewards(recipe)
    functions = [each for each in named.values() if isinstance(each, RewardSpec) and each.spec not in untried]
    findings: list[Finding] = []
    found = {}
    if functions and is_first_process():
        tried = try_rewards(functions, settings, handling)
        found = {each.spec: result for each, result in zip(functions, tried, strict=True)}
    for spec, each in named.items():
        if isinstance(each, str):
            findings += check_reward_model(spec, each, [row["prompt"] for row in settings.rows[:_PROMPTS]])
        elif spec in found:
            own = trial_findings(spec, found[spec], settings.completions_per_step, handling.bearable)
            if (columns := getattr(recipe.dataset, "columns", None)) is not None:
                own = [name_column(each, settings.rows, "`dataset.columns: {}`", columns, None) for each in own]
            is_audit = spec in recipe.rewards.audit_funcs  # one that finds nothing in samples teaches nothing wrong
            own = [each for each in own if not (is_audit and each.numbers.get("kind") in SAY_NOTHING)]
            text = f"{spec} returned None for every row that it was tried on."
            for one in own:  # an audit may be about other rows than those it is tried on, such as rows for evaluation
                is_silent = is_audit and one.numbers.get("kind") == "always_none"
                findings.append(Finding("ok", "rewards", text, one.numbers) if is_silent else one)
        elif spec in untried:
            findings.append(Finding("ok", "rewards", f"{spec} asks a model and is not tried: nothing is sent."))
        else:
            findings.append(Finding("ok", "rewards", f"{spec} is tried by the first process."))
    return findings


def name_column(
    finding: Finding, rows: Sequence[Mapping[str, Any]], entry: str, columns: Columns, otherwise: str | None = "NAME"
) -> Finding:
    """Adds to a column that a reward lacks the entry that takes it from one of another name, such as a near one."""
    if finding.numbers.get("kind") != "missing_column" or not rows:
        return finding
    column = finding.text.partition("needs a column `")[2].partition("`")[0]
    theirs = guess_columns((column,), list(rows[0])).get(column, otherwise)
    if theirs is None:
        return finding
    words = entry.format(word_mapping({**columns, column: theirs}))
    return finding._replace(text=f"{finding.text} {words} takes it from a column of another name.")


def handling_of(recipe: Recipe) -> Handling:
    """Says which failures of a reward the recipe's guard survives: they cost rows, which are counted."""
    guard = recipe.rewards
    bearable = [] if guard.on_invalid == "raise" else ["fails_on_odd"]
    if bearable and guard.reward_workers:
        bearable += ["dies_sometimes", *(["hangs_sometimes"] if guard.reward_timeout else [])]
    limits = Limits() if guard.reward_timeout is None else Limits(SECONDS_PER_CALL, guard.reward_timeout)
    return Handling(limits, guard.reward_memory_gb, tuple(bearable))


def trial_settings(recipe: Recipe, rows: Sequence[dict[str, Any]]) -> Settings:
    """Says what a trial should know of a recipe and its rows."""
    tags, columns = response_format(recipe), recipe.record.part("reward_columns")
    settings = recipe.settings
    per_device, accumulation = int(settings.per_device_train_batch_size), int(settings.gradient_accumulation_steps)
    return Settings(
        rows=rows,
        form="text" if isinstance(rows[0]["prompt"], str) else "messages",
        response_format=tags,
        completions_per_step=per_device * accumulation,
        add_columns=partial(columns, tags=tags) if columns else None,
    )


# transformers 5.17 loads such a folder without its score head and leaves a random one, with a warning only.
ADAPTER = (
    "the folder is an adapter, whose score head not every transformers loads. Merge it into its model first: "
    '`AutoPeftModelForSequenceClassification.from_pretrained("{folder}", num_labels=1).merge_and_unload()'
    ".save_pretrained(FOLDER)`, and save the tokenizer beside it."
)

PREFIXED = (
    "it was trained with the confounders before the text (`estimator: input`), and no reward call adds them. Write "
    "{prefix!r} before every prompt, or train it with another estimator."
)


def check_reward_model(spec: str, path: str, prompts: Sequence[Any] = ()) -> list[Finding]:
    """Reads the configuration of a reward model; its weights are not loaded."""
    folder = Path(path)
    if not folder.is_dir():
        return [Finding("warning", "rewards", f"{spec} is not on this machine; it is not checked.")]
    problem = _problem(folder)
    if problem:
        return [Finding("error", "rewards", f"{spec}: {problem}")]
    prefix = _prefix(folder)
    if any(not last_text(prompt).startswith(prefix) for prompt in prompts):
        return [Finding("error", "rewards", f"{spec}: {PREFIXED.format(prefix=prefix)}")]
    return [Finding("ok", "rewards", f"{spec} is a reward model with one score.")]


def _prefix(folder: Path) -> str:
    """Returns what the model of a recipe with `estimator: input` reads before every prompt."""
    file = folder / SCALE_FILE
    return str(json.loads(file.read_text(encoding="utf-8"))["prefix"]) if file.is_file() else ""


def _problem(folder: Path) -> str | None:
    if pickled := pickled_weights(str(folder)):
        return pickled
    if (folder / "adapter_config.json").is_file():
        return ADAPTER.format(folder=folder)
    if not (folder / "config.json").is_file():
        return "the folder has no config.json. Name the folder a training run wrote."
    if not (folder / "tokenizer_config.json").is_file():
        return "the folder has no tokenizer. Save one into it (`tokenizer.save_pretrained(FOLDER)`)."
    if found := damages(folder):
        return found[0]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("truealign_pairwise"):
        return "it is pairwise: it compares two answers and rewards no single one. Train with `model_type: scalar`."
    labels, classes = len(config.get("id2label") or ()) or config.get("num_labels", 2), config.get("architectures")
    if labels != 1 or not str((classes or [""])[0]).endswith("ForSequenceClassification"):
        return f"a reward model is a sequence classifier with one label, this is {classes} with {labels}."
    if config.get("pad_token_id") is None and config.get("text_config", {}).get("pad_token_id") is None:
        return "config.json has no `pad_token_id`, so the last token of a padded answer cannot be found. Set it."
    return None
