"""Checks rewards: what is wrong with them, before anything is trained with them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from align.assets import find_recipe, shipped_recipes
from align.checks.finding import Finding, Level
from align.checks.rewards import (
    ROWS,
    Handling,
    check_reward_model,
    check_specs,
    check_together,
    handling_of,
    name_column,
    of_errors,
    spread,
    trial_findings,
    trial_settings,
    try_rewards,
)
from align.console import say
from align.data.columns import Columns, guess_columns, our_names, questions_in_columns, word_mapping
from align.data.conversations import conversation_text, last_text
from align.data.kinds import first_columns
from align.data.problems import BadRow, printable
from align.data.prompt_rows import load_prompts, prompts_to_rows
from align.data.question_checks import check_row
from align.data.questions.multiple_choice import NEEDS, load_questions
from align.data.questions.rows import questions_to_rows
from align.data.questions.templates import PromptTemplate
from align.errors import DataError, RecipeError, UserError
from align.evaluation.with_tools import NamedTools
from align.models.rewards import ModelSpec, find_reward_model, named_rewards, resolve_rewards
from align.models.samplers.endpoint import EndpointSampler
from align.models.transcripts.toolbox import ENVIRONMENT
from align.recipe.dataset import DEFAULT_TEMPLATE
from align.recipe.recipe import Recipe, load_recipe, read_columns
from align.recipe.reward_settings import named_model, short_name
from align.recipe.yaml_loader import read_yaml_option
from align.runs.disk_space import check_writable
from align.secrets import mask
from align.services.attack_page import build_attack_page
from align.services.attacked import Attacked, best_of, by_reward, changes
from align.services.options import Attacking, AttackingOnPage, RewardChecking
from align.services.played import MOST_LOST, Playing, hacks_of, made_rows, say_lost, scout
from align.services.red_team import red_team_hacks
from align.tools.named import Spec as ToolSpec
from align.tools.watched import Copied
from rewards.attacks import HACKS, AttackResult, Hack, Together, as_hack, attack_apart, sentences
from rewards.attacks.episodes import as_episode, ways_of
from rewards.running.contract import Limits, RewardSpec, Settings, Spec
from rewards.running.loading import find_file, find_in_file
from rewards.running.scores import Composition
from rewards.running.sources import public_rewards
from rewards.running.workers import WorkerError

# Of rows with a prompt and options, which methods of prompts read as they stand and others as questions.
AS_QUESTIONS = (
    "Where these rows are asked as multiple-choice questions (`columns: {{question: prompt}}`), a reward gets the "
    "index of the right option as `answer`, {answer} in row 1, and then:"
)
MAX_ROWS = 4096  # read of a data set; 256 of them are used
UNKNOWN = "Unknown option {!r}. Settings of a reward go into `--reward_kwargs`."


def check_rewards(subject: str, words: Sequence[str], how: RewardChecking) -> list[Finding]:
    """Tries the rewards of a recipe, or one."""
    limits = None if how.time_limit is None else Limits(how.time_limit)
    if is_recipe(subject):
        if how.columns:
            raise UserError("`--columns` goes with a single reward. For a recipe, write `--dataset.columns`.")
        if how.gold:
            raise UserError("`--gold` goes with a single reward. Check those of the recipe one by one.")
        return check_recipe_rewards(_recipe(subject, words, how.data), limits, how.max_seconds)
    if words:
        raise UserError(UNKNOWN.format(words[0]))
    settings = Settings(max_seconds=how.max_seconds, gold=how.gold)
    kwargs = read_yaml_option("--reward_kwargs", how.reward_kwargs, "{max_length: 200}")
    named = read_columns(how.columns)
    if named and how.data is None:
        raise UserError("`--columns` names columns of `--data`, and none is given. Name the rows, too.")
    rows = [] if how.data is None else chosen_rows(read_reward_rows(how.data, named), ROWS)
    _check_column(rows, "--gold", how.gold.partition(".")[0])
    handling = Handling(limits or Limits())
    findings = check_one(subject, kwargs, rows, settings, handling)
    if asked := questions_of(rows) if all(each.level != "error" for each in findings) else []:
        findings += [
            each._replace(level="warning", text=f"{AS_QUESTIONS.format(**asked[0])} {each.text}")
            for each in check_one(subject, kwargs, asked, settings, handling)
            if each.level == "error"
        ]
    return findings


class Asked(NamedTuple):
    """The rewards that a command names, and what they are attacked with."""

    specs: list[Spec]
    settings: Settings
    handling: Handling
    how: dict[str, Any]  # of `attack_apart`
    named: NamedTools = NamedTools()  # false where texts are attacked, and no episodes
    weights: tuple[float, ...] = ()
    composition: Composition = Composition()


def attack_rewards(subject: str, words: Sequence[str], how: AttackingOnPage, beside: str = "") -> list[Finding]:
    """Attacks rewards, and writes the page of it where a folder is given."""
    out = None if how.out is None else Path(how.out)
    if out is not None:
        check_writable(out, "--out")
    asked = ask(subject, words, how)
    findings = _attack(asked, subject, how, beside)
    if out is not None:
        told = {"data": how.data or subject, "rows": str(len(asked.settings.rows))}
        facts = {"subject": " ".join([subject, *words])} | told
        say(f"The page is {build_attack_page(by_reward(findings), mask(facts), out / 'attack.html')}.")
    return findings


def _attack(asked: Asked, subject: str, how: Attacking, beside: str) -> list[Finding]:
    """Attacks the rewards of a recipe, those that words name, or one beside an older version of it."""
    older = ask(beside, [], how).specs if beside else []
    if older and (len(older) > 1 or len(asked.specs) > 1 or is_recipe(subject) or is_recipe(beside)):
        raise UserError(
            "`--beside` names one reward, the older version of the one that is attacked. Name one of each."
        )
    if asked.named.is_named:
        if beside:
            raise UserError("`--beside` compares rewards of texts, and these are of episodes with tools.")
        return attack_environment(asked)
    attacked = attack_specs(asked.specs, asked.settings, how.time_limit, **asked.how)
    findings = [each for one in attacked for each in one.findings]
    for before in attack_specs(older, asked.settings, how.time_limit, **asked.how):
        findings += [each._replace(numbers=each.numbers | {"before": True}) for each in before.findings]
        findings += changes(attacked[0], before)
    return findings


@contextmanager
def worded() -> Iterator[None]:
    """Says in one sentence what stops a command."""
    try:
        yield
    except (ValueError, WorkerError) as error:
        raise UserError(str(error)) from error


@worded()
def ask(subject: str, words: Sequence[str], how: Attacking) -> Asked:
    """Finds the rewards that are to be attacked, and reads their rows."""
    settings, rows, handling, named = Settings(), [], Handling(), list[Spec]()
    weights, composition, told = [1.0], Composition(), ((), how.environment)
    if is_recipe(subject):
        recipe = _recipe(subject, words, how.data)
        tools, rows = NamedTools.of_recipe(recipe).told(*told, None, None), recipe.record.part("load")(recipe).rows
        named, weights, composition = parts_of(recipe) if tools.is_named else (attackable(recipe), [], Composition())
        settings, handling = trial_settings(recipe, rows), handling_of(recipe)
    elif not subject and how.environment is None:
        raise UserError("Name a recipe or a reward, or the environment that rewards its episodes, `--environment`.")
    else:
        tools = NamedTools().told(*told, how.time_limit, None)
        specs = [each for word in (subject, *words) if word for each in _named_by(word)]
        kwargs = read_yaml_option("--reward_kwargs", how.reward_kwargs, "{max_length: 200}")
        if kwargs and len(specs) > 1:
            raise UserError(f"`--reward_kwargs` are of one reward, and {len(specs)} are named. Name one.")
        named = [attackable_reward(each, kwargs) for each in specs]
        data = how.data or tools.hosted
        rows = [] if data is None else read_reward_rows(data, read_columns(how.columns), tools.is_named)
        weights = [1.0] * len(named)
        settings = settings._replace(form="text" if rows and isinstance(rows[0]["prompt"], str) else None)
    rows = chosen_rows(rows, how.limit)
    settings = settings._replace(rows=rows, max_seconds=how.max_seconds, gold=how.gold)
    for option, name in (("--samples", how.samples), ("--gold", how.gold.partition(".")[0])):
        _check_column(rows, option, name)
    read = _episodes if tools.is_named else _samples
    honest = [read(row.get(how.samples), how.samples) for row in rows if how.samples]
    tried = [*HACKS, *(as_hack(find_in_file(hack, None, noun="Hack")[1]) for hack in how.hacks or ())]
    of_attack = {"hacks": tried, "samples": honest, "limit": how.max_length}
    if how.red_team is not None:
        if not how.red_team_model or not rows:
            raise UserError("`--red_team` asks a model about rows: name it with `--red_team_model`, and `--data`.")
        of_attack["sampler"] = EndpointSampler(how.red_team, how.red_team_model)
    return Asked(named, settings, handling, of_attack, tools, tuple(weights), composition)


def _check_column(rows: Sequence[Mapping[str, Any]], option: str, name: str) -> None:
    if name and not any(name in row for row in rows):
        known = ", ".join(f"`{each}`" for each in (rows[0] if rows else ()))
        raise UserError(f"`{option}` names the column {name!r}, which the rows have not; they have {known}.")


def _named_by(word: str) -> list[str]:
    """Lists the rewards that a word names: itself, or with `file.py:*` the public functions of a file."""
    if word.startswith("--"):
        raise UserError(UNKNOWN.format(word))
    if is_recipe(word):
        raise UserError(f"{word} is a recipe, and stands alone. Name rewards, or attack it by itself.")
    if not word.endswith(".py:*"):
        return [word]
    if not (found := public_rewards(find_file(word, None)[0])):
        raise UserError(
            f"{word}: no public function of the file takes `completions`. Name one, as `file.py:function`."
        )
    return [word[:-1] + name for name in found]


def chosen_rows(rows: Sequence[Any], limit: int) -> list[Any]:
    """Picks rows by what stands in them, so that neither their order nor their columns' names decides."""
    if not any("origin" in row for row in rows[:1]):  # of which a reward compares those that belong together
        rows = sorted(rows, key=lambda row: sha256(repr([*row.values()]).encode("utf-8", "replace")).digest())
    return [*spread(rows)[:limit]]


def _samples(value: Any, name: str) -> list[str]:
    """Reads the honest responses of a row: a text, messages, or a list of either."""
    if value is None:
        return []
    if isinstance(value, str) or (isinstance(value, list | tuple) and value and isinstance(value[0], Mapping)):
        value = [value]
    if not isinstance(value, list | tuple):
        raise UserError(f"`--samples {name}` holds {type(value).__name__}s, such as {value!r:.40}, and no responses.")
    return [last_text(each) for each in value]


def _episodes(value: Any, name: str) -> list[str]:
    """Reads the honest episodes of a row: messages with calls, a list of calls, or several of them."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple | str):
        return [each for inner in value for each in _episodes(inner, name)]
    try:
        return [] if value is None else [as_episode(value)]
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise UserError(
            f"`--samples {name}` holds {value!r:.60}, and an honest episode is messages with `tool_calls`, or a list "
            'such as [{"name": "buy", "arguments": {"item": "pen"}}].'
        ) from error


def attack_recipe(recipe: Recipe, rows: Sequence[Any], *, limit: int = 64) -> list[Finding]:
    """Attacks the rewards of a recipe on some rows of its data, with episodes where it has tools."""
    settings, tools = (
        trial_settings(recipe, rows)._replace(rows=chosen_rows(rows, limit)),
        NamedTools.of_recipe(recipe),
    )
    if tools.is_named:
        named, weights, composition = parts_of(recipe)
        how = {"hacks": HACKS}
        return attack_environment(Asked(named, settings, handling_of(recipe), how, tools, tuple(weights), composition))
    return [each for one in attack_specs(attackable(recipe), settings) for each in one.findings]


def attackable(recipe: Recipe) -> list[Spec]:
    """Lists the rewards of a recipe, and the sum that it pays where that is another than each of them."""
    named, weights, composition = parts_of(recipe)
    count = len(recipe.reward_funcs)
    if count > 1 or (count and composition.changed):  # a gate may be an audit, which weighs nothing
        named.append(Together(tuple(named), weights, composition))
    return named


def parts_of(recipe: Recipe) -> tuple[list[Spec], list[float], Composition]:
    """Lists the rewards of a recipe, what each weighs, and gates and limits."""
    named: list[Spec] = [
        ModelSpec(short_name(spec), each) if isinstance(each, str) else each
        for spec, each in named_rewards(recipe).items()
    ]
    count, composition = len(recipe.reward_funcs), recipe.rewards.composition(recipe.reward_specs)
    weights = getattr(recipe.settings, "reward_weights", None) or [1.0] * count
    return named, [*weights, *[0.0] * (len(named) - count)], composition


def attackable_reward(subject: str, kwargs: dict[str, Any]) -> Spec:
    """Finds how another process finds one reward; raises `UserError` of a reward model that gives no scores."""
    model = find_reward_model(named_model(subject)[1], Path.cwd())
    if model is None:
        return RewardSpec(subject, kwargs)
    if problem := next((each.text for each in check_reward_model(subject, model) if each.level == "error"), ""):
        raise UserError(problem)
    return ModelSpec(short_name(subject), model)


@worded()
def attack_specs(
    named: Sequence[Spec],
    settings: Settings,
    time_limit: float = 5.0,
    sampler: EndpointSampler | None = None,
    hacks: Sequence[Hack] = HACKS,
    **how: Any,
) -> list[Attacked]:
    """Attacks rewards, each in a process of its own, with what the model behind `sampler` writes as well."""
    attacked = []
    for spec in named:
        own: list[Hack] = []
        if sampler is not None and isinstance(spec, RewardSpec):  # whose code can be shown
            ladder = attack_apart(spec, settings, Limits(time_limit), hacks=(), **how).ladder
            own = red_team_hacks(spec, conversation_text(settings.rows[0]["prompt"]), ladder, sampler)
        result = attack_apart(spec, settings, Limits(time_limit), hacks=[*own, *hacks], **how)
        is_sum, made_up = isinstance(named[-1], Together), not settings.rows
        attacked.append(told_of(result, spec.spec, is_sum=is_sum, made_up=made_up))
    return attacked


def told_of(result: AttackResult, spec: str, *, is_sum: bool, made_up: bool) -> Attacked:
    """Words what an attack found of a reward; of form the sum is judged, where there is one."""
    said = [*sentences(result)]
    if made_up:
        said.append(("failed", f"`{result.reward}`: these rows are made up. Name yours with `--data`.", {}))
    findings = []
    for kind, text, numbers in said:
        is_told = kind in ("ok", "beside", "handed", "tests", "ladder") or (kind == "form" and is_sum)
        level: Level = "ok" if is_told else "warning" if result.honest else "error"
        more = {"kind": kind, "spec": spec, **({"best": best_of(result)} if kind == "ladder" else {})}
        findings.append(Finding(level, "attack", text, numbers | more))
    if result.errors is not None:
        findings.append(of_errors(result.reward, spec, result.errors, "attack"))
    return Attacked(findings, result)


def _of_one(asked: Asked, name: str, spec: ToolSpec) -> Asked:
    """Leaves one of several environments, with the rows that name it."""
    places = [i for i, row in enumerate(asked.settings.rows) if row.get(ENVIRONMENT) == name]
    rows = [{key: each for key, each in asked.settings.rows[i].items() if key != ENVIRONMENT} for i in places]
    how = asked.how | {"samples": [asked.how["samples"][i] for i in places if asked.how["samples"]]}
    named = replace(asked.named, environments={None: spec})
    return asked._replace(settings=asked.settings._replace(rows=rows), how=how, named=named)


@worded()
def attack_environment(asked: Asked) -> list[Finding]:
    """Attacks what episodes are paid, in a copy of the environment's folder."""
    rows, named, how = list(asked.settings.rows), asked.named, dict(asked.how)
    if several := {name: spec for name, spec in (named.environments or {}).items() if name is not None}:
        return [each for name, spec in several.items() for each in attack_environment(_of_one(asked, name, spec))]
    specs = [*named.tools, *(named.environments or {}).values()]
    with closing(Copied(specs)) as copied:
        playing = Playing(named, copied, (), tuple(asked.specs), asked.weights, asked.composition)
        scouted = scout(playing)
        made_up = not rows
        rows = rows or [*made_rows(scouted.needed)]
        playing = replace(playing, columns=tuple(name for name in rows[0] if name != "prompt"))
        settings = asked.settings._replace(rows=rows, form="messages", ways=ways_of(scouted.tools))
        seconds = MOST_LOST * len(rows) * named.limits.seconds  # each row may hang so often
        how["hacks"] = partial(hacks_of, playing, scouted, rows, how["hacks"])
        result = attack_apart(playing, settings, Limits(seconds), **how)
        if lost := say_lost(playing, result.honest):
            result.problems.append(lost)
        return told_of(result, result.reward, is_sum=False, made_up=made_up).findings


def is_recipe(subject: str) -> bool:
    """Tells a recipe from the name of a reward."""
    return Path(subject).suffix in (".yaml", ".yml") or subject.removeprefix("recipes/") in shipped_recipes()


def check_recipe_rewards(recipe: Recipe, limits: Limits | None, max_seconds: float) -> list[Finding]:
    """Tries the rewards of a recipe on its data, about `max_seconds` each; what hangs does so in another process."""
    rows = recipe.record.part("load")(recipe).rows
    handling = handling_of(recipe)
    handling = handling if limits is None else handling._replace(limits=limits)
    try:
        findings = check_specs(recipe, trial_settings(recipe, rows)._replace(max_seconds=max_seconds), handling)
        if not any(finding.numbers.get("kind") in ("not_found", "hangs", "dies") for finding in findings):
            findings = check_together(recipe, resolve_rewards(recipe)) + findings
    except (ValueError, TypeError, OSError) as error:
        return [Finding("error", "rewards", str(error))]
    return findings


@worded()
def check_one(
    spec: str, kwargs: dict[str, Any], rows: list[dict[str, Any]], settings: Settings, handling: Handling
) -> list[Finding]:
    """Tries one reward, on made-up rows if there is no data."""
    model = find_reward_model(named_model(spec)[1], Path.cwd())
    if model is not None:
        return check_reward_model(spec, model, [row["prompt"] for row in rows])
    if rows:
        settings = settings._replace(rows=rows, form="text" if isinstance(rows[0]["prompt"], str) else "messages")
    return try_one(RewardSpec(spec, kwargs), settings, handling)


def try_one(spec: RewardSpec, settings: Settings, handling: Handling) -> list[Finding]:
    """Tries one reward on rows of the settings."""
    (tried,) = try_rewards([spec], settings, handling)
    found = trial_findings(spec.spec, tried, settings.completions_per_step, handling.bearable)
    return [name_column(each, settings.rows, "`--columns '{}'`", {}) for each in found]


def _recipe(subject: str, words: Sequence[str], data: str | None) -> Recipe:
    place = str(Path(data).resolve()) if data and Path(data).exists() else data  # apart from the recipe's folder
    overrides = [*words, *(["--dataset.path", place, "--dataset.mix", "null"] if place else [])]
    recipe = load_recipe(find_recipe(subject), overrides)
    if not recipe.reward_specs and not NamedTools.of_recipe(recipe).is_named:
        raise RecipeError(f"{subject} names no rewards: `method: {recipe.method}` learns from its data alone.")
    return recipe


def read_reward_rows(path: str, columns: Columns, is_played: bool = False) -> list[dict[str, Any]]:
    """Reads multiple-choice questions if the first row is one, else prompts with the columns beside them.

    Prompts that are played with tools are no questions, whatever columns are beside them.
    """
    names = first_columns(path, None)
    ours = our_names(names, columns)
    meant = {*ours, *guess_columns(("options", "answer"), ours)}  # in other words, such as a column for each option
    has_options = bool(questions_in_columns(ours)) or ("prompt" not in ours and {"options", "answer"} <= meant)
    has_options |= {"question", "options"} <= set(ours)
    needs = NEEDS if has_options and not (is_played and "prompt" in ours) else ("prompt",)
    if names:
        _check_names(path, names, columns, needs)
    if needs == NEEDS:
        questions, _ = load_questions(path, max_rows=MAX_ROWS, columns=columns)
        return questions_to_rows(questions, PromptTemplate(DEFAULT_TEMPLATE, None, True))[0]
    prompts, _ = load_prompts(path, max_rows=MAX_ROWS, columns=columns)
    return prompts_to_rows(prompts)


def questions_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns prompts with options as methods of multiple-choice questions hand them to rewards; none if they are not.

    Example:
        >>> questions_of([{"prompt": "Which rusts?", "options": ["iron", "gold"], "answer": "A"}])[0]["answer"]
        0
    """
    if all(isinstance(row.get("answer"), int) for row in rows):
        return []
    asked = []
    for row in rows:
        try:
            checked = check_row({**row, "question": conversation_text(row["prompt"]), "id": None, "group": None})
        except BadRow:
            return []
        asked.append({**row, "question": checked.question, "options": list(checked.options), "answer": checked.answer})
    return asked


def _check_names(path: str, names: list[str], columns: Columns, needs: tuple[str, ...]) -> None:
    """Refuses rows without a column that is needed, with the option that names it."""
    firsts = {ours: theirs if isinstance(theirs, str) else theirs[0] for ours, theirs in columns.items()}
    absent = [ours for ours, first in firsts.items() if first not in names]
    lacking = [*absent, *(name for name in needs if name not in our_names(names, columns))]
    if not lacking:
        return
    guessed = guess_columns(lacking, [name for name in names if name not in columns.values()], needs)
    mended = {ours: theirs for ours, theirs in columns.items() if ours not in absent} | guessed
    mended |= {ours: "NAME" for ours in lacking if ours not in guessed}
    named = [f"`{printable(firsts[name])}` for `{name}`" if name in firsts else f"`{name}`" for name in lacking]
    has = ", ".join(f"`{printable(name)}`" for name in names)
    raise DataError(
        f"{path} has no column {', '.join(named)}; it has {has}. Say which is meant with "
        f"`--columns '{word_mapping(mended)}'`: our name of a column, and the name that it has in the rows."
    )
