"""A recipe whose model is sampled, rehearsed: completions by the engine of evaluations, rewards as in training."""

import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from align.console import say
from align.data.conversations import conversation_text, last_text
from align.data.media.images import VIDEO
from align.data.prompt_rows import PromptRow, prompts_to_rows
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.evaluation import asking
from align.evaluation.asked_models import Engine, check_images, open_policy
from align.evaluation.engine import show_stages
from align.evaluation.statistics.metrics import Values, share, wilson
from align.evaluation.suites.prompts import measured_rewards as measured
from align.evaluation.suites.prompts.suite import stated_answer
from align.evaluation.with_tools import NamedTools, answer_prompts
from align.methods.rollouts import exchanges
from align.methods.rollouts.foretold import foretell
from align.methods.rollouts.prompt_data import showing
from align.models.answer_cache import AnswerCache
from align.models.at_hand import require_model
from align.models.checkpoint import find_checkpoint, load_processor
from align.models.policies.answer_keys import digest
from align.models.policies.asking import NO_CUTS, CutDecoding, Decoding, Prompt
from align.models.policies.endpoint_policy import EndpointPolicy
from align.models.rewards import response_format
from align.models.transcripts.transcript import Transcript
from align.models.videos import one_place, reads_videos, video_of
from align.recipe.alarms import ALARMS
from align.recipe.dataset import MediaSettings, PromptDatasetConfig
from align.recipe.reward_settings import short_name
from align.rehearsal.groups import errors_in_groups
from align.rehearsal.plan import FEWEST, MOST, Plan
from align.rehearsal.record import CACHE_FOLDER, Check, Rehearsed, Table, by_number
from align.rehearsal.rollouts import Rollouts, look_at
from align.rehearsal.rows import look_at_rows
from align.tools.calls import call_metrics
from align.training.build import processing_class
from align.training.guarded_rewards import guard
from align.training.reward_records import Repeat, pair_scores, repeat_metrics, rows_to_repeat, score_again
from align.training.shown_rows import right_answers
from rewards.attacks import Told
from rewards.reading.options import parse_choice
from rewards.reading.responses import parse_response
from rewards.running.guard import GuardedReward
from rewards.running.protocol import HIGHER, reads_whole_batch

_REPEATED = 32  # completions that are scored again
_NOISY = ALARMS["noise_share"].limit or 0.2  # of a reward's variance within groups
_SHOWN, _LONGEST = 6, 600  # prompts of which samples are shown, and characters of each
_NEUTRAL = {"generation_kwargs": None}
CHECKS = by_number(
    Check("noise", "flaky/{reward}", "`{reward}` differs from itself on the same completion",
          "`{reward}` gives another value for {share:.0%} of the completions when it is called again; {noise:.0%} of "
          "its variance within groups is that noise.",
          "Lower its temperature, or take the mean of several answers; `reward_repeats: 0.1` logs the share in "
          "training.", above=0.05, unit="completions"),
    Check("errors", "made_by_errors", "groups that differ by errors of `{task}` alone", unit="groups"),
    Check("errors", "lost_by_errors", "groups that lose their difference by its errors", unit="groups"),
    Check("tools", "called", "completions that call a tool",
          "Hardly a completion calls a tool, so that nothing is learnt about calls.",
          "Say in the prompt when to call, or teach it first with `method: sft`.", below=0.05),
    Check("tools", "failed_calls", "completions that have a call that fails",
          "{share:.0%} of the completions have a call that fails, the first with {reason!r}.",
          "Mend the tool, or say in its docstring what it takes.", above=0.3),
    Check("tools", "unanswered", "completions that end with a call whose result does not fit",
          "{share:.0%} of the completions end with a call whose result does not fit.",
          "Raise `max_completion_length` or `max_tool_calling_iterations`, or have the tool say less.", above=0.1),
    Check("tools", "lost", "completions that lose their tool or environment, and their reward",
          "{share:.0%} of the completions lose their reward with their tool ({reason}).",
          "Mend the tool, or raise `tool_timeout`."),
)  # fmt: skip


ERRORS = (
    "`{task}` pays {fpr:.0%} of wrong answers and refuses {fnr:.0%} of right ones: of groups of {size} about "
    "{share:.0%} differ by these errors alone, and {lost:.0%} lose their difference, if each completion errs by "
    "itself. An error that is always the same teaches a wrong answer instead (`align rewards attack`)."
)
BESIDE = " Beside the other rewards its errors lower its weight; `reward_weights` of {weight} for it restores that."


class Sampled(NamedTuple):
    """What a model wrote to some rows of the data."""

    rows: list[PromptRow]  # `row` is their place in the data
    completions: list[list[Any]]  # `Completion`, or `Transcript` where there are tools
    decoding: Decoding
    engine: Engine
    seconds: float  # that sampling took, without what was sampled before
    num_cached: int
    unshown: list[bool]  # which prompts do not stand in what the model reads

    @property
    def flat(self) -> list[Any]:
        """All completions, those of a prompt in a row."""
        return [each for group in self.completions for each in group]


class _BatchByBatch(asking.KeptAnswers):
    """Keeps what each batch wrote, and not the many batches that a policy takes for one chunk."""

    def ask(self, stage: str, ask: Any, contents: Any, lengths: Any, size: int) -> list[Any]:
        num_samples = int(contents[0][2][-1]["num_samples"])
        return super().ask(stage, ask, contents, lengths, max(1, size // num_samples))


def rehearse(plan: Plan) -> Rehearsed:
    """Samples, rewards and measures."""
    found = judge(plan, sample(plan))[0]
    foretell(plan, found, sample, showing(cast(PromptDatasetConfig, plan.recipe.dataset)))
    return found


def sample(plan: Plan) -> Sampled:
    """Samples prompts of the data with the recipe's own settings; what was sampled before is not sampled again."""
    recipe, settings, options = plan.recipe, plan.recipe.settings, plan.options
    rows, tools = _draw(plan), NamedTools.of_recipe(recipe)
    size = options.num_samples or min(MOST, max(FEWEST, int(settings.num_generations)))
    how = float(settings.temperature), float(settings.top_p), size, int(settings.max_completion_length), settings.seed
    cuts = {name: getattr(settings, name) or 0 for name in NO_CUTS}  # `min_p` may be None
    decoding = Decoding(*how) if plan.sampler or cuts == NO_CUTS else CutDecoding(*how, **cuts)
    dtype = "float32" if recipe.model.dtype == "auto" else recipe.model.dtype
    engine = Engine(options.backend, dtype, options.device, options.batch_size)
    engine.check()
    kwargs = getattr(settings, "chat_template_kwargs", None)
    template: Mapping[str, Any] = {"chat_template_kwargs": dict(kwargs)} if kwargs else {}
    prompts = [
        each if isinstance(each.content, str) else each._replace(template=template) for each in asking.as_prompts(rows)
    ]
    with closing(AnswerCache(plan.out / CACHE_FOLDER)) as cache, show_stages() as stages:
        stages.start(recipe.model.model_name_or_path)
        kept = (asking.KeptAnswers if plan.sampler or tools else _BatchByBatch)(cache, stages.advance)
        with _opened(plan, engine, decoding, prompts) as (policy, _):
            started, unshown = time.perf_counter(), exchanges.hidden_prompts(policy, prompts)
            if tools:
                with closing(tools.toolbox()) as toolbox:
                    answers = tools.answers(toolbox, policy, plan.sampler)
                    completions: list[list[Any]] = list(answer_prompts(answers, rows, decoding, kept))
            else:
                completions = list(asking.complete_prompts(policy, prompts, decoding, kept))
            seconds = time.perf_counter() - started
    return Sampled(rows, completions, decoding, engine, seconds, kept.num_cached, unshown)


def _draw(plan: Plan) -> list[PromptRow]:
    """Draws rows, with those that rewards have to see together."""
    together = getattr(plan.recipe.dataset, "rows_together", 1)
    blocks = np.random.default_rng(plan.recipe.settings.seed).permutation(len(plan.data.rows) // together)
    drawn = sorted(blocks[: max(1, plan.options.num_prompts // together)].tolist())
    places = [block * together + i for block in drawn for i in range(together)]
    reads = any(row.get(VIDEO) for row in (plan.data.rows[place] for place in places[:1])) and _reads_videos(plan)
    found = []
    for place, row in zip(places, (plan.data.rows[place] for place in places), strict=True):
        columns = {name: value for name, value in row.items() if name not in ("id", "prompt", "images")}
        images, video = tuple(row.get("images") or ()), video_of(row) if reads else None
        prompt = one_place(row["prompt"]) if video else row["prompt"]
        found.append(PromptRow(str(row.get("id", place)), prompt, columns, images, place, video))
    return found


def _reads_videos(plan: Plan) -> bool:
    """Tells whether a trainer of this recipe reads the frames of a row as one video; see `asked_rows.py`."""
    settings, path = plan.recipe.settings, plan.recipe.model.model_name_or_path
    if (
        plan.sampler is not None
        or (settings.use_vllm and settings.vllm_mode == "server")
        or getattr(settings, "tools", None)
    ):
        return False
    require_model(path, plan.recipe.model.model_revision)
    return reads_videos(load_processor(find_checkpoint(path)))


def _opened(plan: Plan, engine: Engine, decoding: Decoding, prompts: Sequence[Prompt]) -> Any:
    images = any(each.images for each in prompts)
    if plan.sampler is not None:
        if images:
            raise UserError("Rows have images, and an endpoint is asked about texts only. Leave `--endpoint` out.")
        say(f"Asking {plan.sampler.name}")
        policy = EndpointPolicy(plan.sampler, concurrency=plan.sampler.concurrency, num_samples=decoding.num_samples)
        return nullcontext((policy, None))
    model = plan.recipe.model
    require_model(model.model_name_or_path, model.model_revision)
    checkpoint = find_checkpoint(model.model_name_or_path)
    if images:
        check_images("A row", {"model": checkpoint}, MediaSettings())
    say(f"Sampling {checkpoint.path}")
    return _with_template(plan, open_policy(checkpoint, lambda _: PromptTemplate(), engine, images=images))


@contextmanager
def _with_template(plan: Plan, opened: Any) -> Iterator[Any]:
    """Opens a policy with the chat template that the recipe names; its answers are then others."""
    with opened as (policy, model):
        if (processing := processing_class(plan.recipe)) is not None:
            policy.tokenizer.chat_template = processing.chat_template
            policy.fingerprint = digest([policy.fingerprint, processing.chat_template])
        yield policy, model


def judge(
    plan: Plan, sampled: Sampled, columns: Sequence[Mapping[str, Any]] | None = None, right: Values | None = None
) -> tuple[Rehearsed, Rollouts]:
    """Rewards completions by the recipe's guard, gates and weights, and says what a run would learn from them.

    `columns` has what a trainer adds to each row for rewards, `right` `(N, S)` which completions it takes for right.
    """
    recipe, settings = plan.recipe, plan.recipe.settings
    trained, rules = guard(recipe, list(plan.rewards))
    found_rewards: list[Any] = [*trained, *rules.audits]
    named = [
        measured.NamedReward(short_name(spec) if isinstance(each, str) else each.__name__, spec, "", each, HIGHER)
        for spec, each in zip(recipe.reward_specs, found_rewards, strict=True)
    ]
    called = measured.CalledRewards(named, response_format(recipe), rules.on_invalid, rules.max_invalid_share)
    tools, num_functions = NamedTools.of_recipe(recipe), len(trained)
    rows, completions = sampled.rows, sampled.completions
    if columns is not None:  # each completion has a row of its own
        repeated = [row for row, group in zip(rows, completions, strict=True) for _ in group]
        rows = [replace(row, columns={**row.columns, **own}) for row, own in zip(repeated, columns, strict=True)]
        completions = [[each] for each in sampled.flat]
    functions = [each.reward for each in called.rewards if not isinstance(each.reward, str)]
    reads = bool(tools.environments or tools.plays) and any(map(measured.reads_environments, functions))
    try:
        with show_stages() as stages, closing(tools.toolbox()) if reads else nullcontext() as toolbox:
            called = called._replace(behind=None if toolbox is None else toolbox.behind)
            rewarded = measured.reward_all(called, sampled.engine, rows, {"": completions}, stages)[""]
        repeats = _repeat(plan, called, rewarded, rows, completions)
        told = exchanges.told_of(plan, named, sampled.rows)
        moved = {column for each in told.values() for column in each.columns if column != "prompt"}
        asking = exchanges.Asking(called, rows, completions, sampled.engine)
        swapped, said = asking.exchanged(moved), Rehearsed()
        exchanges.say_elsewhere(plan, asking, told, rewarded, len(sampled.rows), said)
        for name, own in tools.pay(sampled.rows, sampled.completions, max(1, recipe.rewards.reward_workers)).items():
            rewarded[name] = measured.Rewarded(own, [])
            named.insert(len(trained), measured.NamedReward(name, name, "", "", HIGHER))
            trained.append(named[len(trained)].reward)
        names = [each.name for each in named[: len(trained)]]
        weights = [*(settings.reward_weights or [1.0] * num_functions)]
        weights = [*weights, *(tools.weights.get(name, 1.0) for name in names[len(weights) :])][: len(names)]
        values = np.stack([rewarded[name].values.reshape(len(sampled.rows), -1) for name in names], axis=2)
        task = exchanges.task_of(plan, names, np.array(weights), told)
        of_task = told.get(names[task], Told())
        tells = of_task.tells
        stated, golds = _stated(plan, sampled)
        read = [x for x in of_task.columns if x != "prompt"] if tells and columns is None else []
        rights = exchanges.golds_of(sampled.rows, read)
        is_silent = 2 * sum(each is not None for each in stated) < len(stated)
        by_reward = asking.read(names[task], rights, read, rewarded[names[task]]) if read and is_silent else []
        cut = asking.cut() if columns is None else {}
    finally:
        called.close()
    lengths = np.array([len(each.ids or ()) for each in sampled.flat], dtype=float).reshape(values.shape[:2])
    groups = zip(sampled.rows, sampled.completions, strict=True)
    asked = [f"{row.prompt} {row.columns}".casefold() for row, group in groups for _ in group]  # and what is right
    rollouts = Rollouts(
        names, task, values, np.array(weights), rules.composition,
        _right(plan, named[task], values[..., task], stated, golds, tells) if right is None else right,
        [each.text for each in sampled.flat], stated, asked, lengths, sampled.decoding.max_new_tokens,
        scale={True: "group", False: "none"}.get(settings.scale_rewards, settings.scale_rewards),
        aggregation=settings.multi_objective_aggregation, drops_cut=settings.mask_truncated_completions,
        wants_answers=any(golds) and tells, temperature=sampled.decoding.temperature, of_task=of_task,
        is_told=any(each is not None and each == gold for each, gold in zip(stated, golds, strict=True)),
        filter_line=_filter_line(plan, sampled, named[task], values[..., task], tells=tells),
        of_environment=frozenset(names[num_functions:]),
        forms=frozenset(name for name in names if name in told and not told[name].reads),
        shown=tuple(
            frozenset(last_text(row.prompt).casefold().split()) - {*str([*row.columns.values()]).casefold().split()}
            for row, group in zip(sampled.rows, sampled.completions, strict=True) for _ in group
        ),
        exchanged=exchanges.stacked(names, swapped, values.shape[:2]) if tells else None,
    )  # fmt: skip
    found = look_at(rollouts)
    weighed = dict(zip(names, weights, strict=True))
    if tells and weights[task] < 0:
        text = f"`{names[task]}` pays right answers, and a weight of {weights[task]:g} takes that away."
        found.find("error", "weights", f"{text} Give it a weight above 0.")
    _say_errors(plan, rollouts, found)
    found.take(exchanges.CHECKS["unshown"], wilson(sum(sampled.unshown), len(sampled.unshown)))
    exchanges.say_told(
        found, told, {x.name: x.spec for x in named}, {n: x.values for n, x in rewarded.items()}, swapped, names[task]
    )
    found.findings += said.findings
    exchanges.say_cut(found, cut, {name: values[..., i] for i, name in enumerate(names)}, rollouts.weights)
    if columns is None:
        texts = [last_text(row.prompt) for row in sampled.rows]
        seen = replace(rollouts, stated=by_reward, wants_answers=True) if any(by_reward) else rollouts
        known = rights if any(by_reward) else golds[:: values.shape[1]]
        look_at_rows(texts, known, seen, found, is_named=any(golds))
    if read:
        exchanges.say_missing(found, names[task], read, rights, values[..., task], rollouts.totals)
    found.keep_causes()
    _say_limits(plan, sampled, found)
    if isinstance(sampled.flat[0], Transcript):
        _say_tools(found, sampled.completions)
    for each in named:
        again = repeats.get(each.name) if weighed.get(each.name, 1.0) else None  # what is only logged may be noise
        _say_calls(found, each, rewarded[each.name], again, values.shape[1])
    _say_time(plan, found, sampled, rewarded)
    found.samples = list(_shown(sampled, rollouts))
    by = sampled.engine.backend if plan.sampler is None else plan.sampler.name
    found.asked = asdict(sampled.decoding) | {"prompts": len(sampled.rows), "by": by}
    return found, rollouts


def _repeat(plan: Plan, called: Any, rewarded: Any, rows: Any, completions: Any) -> dict[str, list[Repeat]]:
    """Scores some completions of the last call again, as `reward_repeats` does in training."""
    size, found = len(completions[0]), dict[str, list[Repeat]]()
    at_once = max(1, measured.ROWS_AT_ONCE // size)
    first = (len(rows) - 1) // at_once * at_once  # row of the last call, whose workers are known
    asked = [row for row in prompts_to_rows(rows)[first:] for _ in range(size)]
    given = measured.trl_arguments(asked, [each for group in completions[first:] for each in group])
    for each in called.rewards:
        is_one_by_one = isinstance(each.reward, GuardedReward) and not reads_whole_batch(each.reward)
        if is_one_by_one and not (called.behind and measured.reads_environments(each.reward)):
            scores = rewarded[each.name].scores[first * size :]
            share = min(1.0, max(plan.recipe.rewards.reward_repeats, _REPEATED / len(scores)))
            picked = rows_to_repeat(scores, share, 1, (plan.recipe.settings.seed,))
            again = score_again({each.reward: picked}, given | {"trainer_state": None}, torch.device("cpu"))
            found[each.name] = pair_scores(scores, picked, again[each.reward])
    return found


def _right(
    plan: Plan, task: measured.NamedReward, values: Values, stated: Sequence[Any], golds: Sequence[Any], tells: bool
) -> Values:
    """Tells which completions are right: by a reward of 0 and 1, else by the answer; nan where neither says so."""
    least, paid = plan.options.right_from, (np.nan_to_num(values) > 0).astype(float)
    paid[np.isnan(values).all(axis=1)] = np.nan  # rows of another task
    is_model = isinstance(task.reward, str) and task.reward != ""
    if getattr(task.reward, "without_labels", False):
        return np.full(values.shape, np.nan)
    if least is not None:
        return (values >= least).astype(float)
    if not is_model and np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        return paid
    same = np.array([answer is not None and answer == gold for answer, gold in zip(stated, golds, strict=True)])
    if same.any():  # else nobody knows whether answers can be compared so
        return same.astype(float).reshape(values.shape)
    return paid if not is_model and tells else np.full(values.shape, np.nan)


def _stated(plan: Plan, sampled: Sampled) -> tuple[list[str | None], list[str | None]]:
    """Reads all answers and the right ones: a letter where there are options, else what the text states."""
    tags, stated, golds = response_format(plan.recipe), list[str | None](), list[str | None]()
    rights = right_answers([dict(each.columns) for each in sampled.rows]) or [None] * len(sampled.rows)
    for row, group, right in zip(sampled.rows, sampled.completions, rights, strict=True):
        options = row.columns.get("options")
        gold = right and stated_answer(f"<{tags.answer_tag}>{right}</{tags.answer_tag}>", tags)
        golds += [right[0].lower() if options and right else gold] * len(group)  # `B. iron` of options
        for each in group:
            choice = options and parse_choice(parse_response(each.text, tags).answer, options)
            letter = None if choice is None else chr(ord("a") + choice) if options else None
            stated.append(letter if options else stated_answer(each.text, tags))
    return stated, golds


def _filter_line(plan: Plan, sampled: Sampled, task: measured.NamedReward, values: Values, *, tells: bool) -> str:
    """Writes the command that keeps prompts which the model sometimes solves; nothing where it would sample others."""
    recipe, data, least = plan.recipe, plan.recipe.dataset, plan.options.right_from
    is_told = least is not None or tells or bool(np.isin(values[~np.isnan(values)], (0.0, 1.0)).all())
    cannot = data.mix is not None or bool(sampled.decoding.cuts) if isinstance(data, PromptDatasetConfig) else True
    if cannot or plan.sampler is not None or not is_told:
        return ""
    spec, low, name = task.spec, 1 / sampled.decoding.num_samples, short_name(task.spec)
    if spec.partition(":")[0].endswith(".py") and (recipe.path.parent / spec.partition(":")[0]).is_file():
        spec = str(recipe.path.resolve().parent / spec)
    kwargs = recipe.reward_kwargs.get(name)
    given = {
        "model": recipe.model.model_name_or_path, "verifier": spec, "pass_rate": f"{low:g}:{1 - low:g}",
        "recipe": recipe.path, **asdict(sampled.decoding), "batch_size": plan.options.batch_size,
        "dtype": sampled.engine.dtype, "reward_kwargs": json.dumps({name: kwargs}) if kwargs else None,
        "verifier_threshold": None if least is None else float(np.nextafter(least, -np.inf)),
        "split": data.split, "on_bad_rows": data.on_bad_rows, "cache": plan.out / CACHE_FOLDER,
        "out": plan.out / "kept.jsonl",
    }  # fmt: skip
    words = [word for key, value in given.items() if value is not None for word in (f"--{key}", str(value))]
    return shlex.join(["align", "filter", str(data.path), *words])


def _say_errors(plan: Plan, rollouts: Rollouts, found: Rehearsed) -> None:
    """Says what the known error rates of the task's reward do to groups."""
    rates = plan.recipe.rewards.rates(plan.recipe.reward_specs[: len(plan.recipe.reward_funcs)]).get(rollouts.task)
    pays, size = rollouts.values[..., rollouts.task], int(plan.recipe.settings.num_generations)
    paid = np.where(np.isnan(pays), np.nan, pays >= (rates.right_from if rates else 0.0))
    if rates is None or np.isnan(paid).all():
        return
    fpr, fnr = rates.fpr.share, rates.fnr.share
    made, lost = errors_in_groups(paid, fpr, fnr, size)
    told: dict[str, Any] = {"fpr": fpr, "fnr": fnr, "size": size, "lost": lost.value}
    told["task"] = rollouts.names[rollouts.task]
    told["weight"] = f"{rollouts.weights[rollouts.task] / (1 - fpr - fnr):.3g}"
    found.take(CHECKS["made_by_errors"], made, **told)
    found.take(CHECKS["lost_by_errors"], lost)
    text = ERRORS.format(share=made.value, **told) + (BESIDE.format(**told) if len(rollouts.names) > 1 else "")
    found.find("ok", "errors", text)


def _say_limits(plan: Plan, sampled: Sampled, found: Rehearsed) -> None:
    for name, neutral in (_NEUTRAL | (NO_CUTS if plan.sampler else {})).items():
        if (value := getattr(plan.recipe.settings, name, neutral)) not in (neutral, None):
            found.find("warning", "sampling", f"`{name}: {value}` is not rehearsed yet, and was left out.")
    if plan.sampler is not None and isinstance(sampled.rows[0].prompt, str):
        found.find("ok", "sampling", "The endpoint reads prompts that are texts as messages, unlike training.")


def _say_calls(found: Rehearsed, named: Any, rewarded: Any, repeats: list[Repeat] | None, size: int) -> None:
    name = named.name
    if rewarded.failures:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in rewarded.failures.items())
        text = f"`{name}` fails on {sum(rewarded.failures.values())} of {len(rewarded.scores)} completions ({kinds})."
        found.find("warning", "rewards", text, f"align rewards check {named.spec}")
    if not repeats:
        return
    noise, flaky = repeat_metrics(repeats, rewarded.values.ravel(), size), sum(each.differs for each in repeats)
    variance = noise["group_variance"]
    part = min(1.0, noise["noise_variance"] / variance) if variance > 0 else 1.0
    sick = None if part > _NOISY else False
    found.take(CHECKS["flaky/{reward}"], wilson(flaky, len(repeats)), sick=sick, noise=part, reward=name)


def _say_time(plan: Plan, found: Rehearsed, sampled: Sampled, rewarded: Mapping[str, measured.Rewarded]) -> None:
    num, settings = len(sampled.flat), plan.recipe.settings
    new = num - sampled.num_cached * sampled.decoding.num_samples
    step, steps = int(plan.step["completions_per_step"]), int(settings.max_steps)
    if steps <= 0:
        steps = round(float(settings.num_train_epochs) * plan.step["steps_per_pass"])
    each = {"sampling": sampled.seconds / new} if new else {}
    each |= {name: sum(score.seconds for score in of.scores) / num for name, of in rewarded.items() if of.scores}
    found.seconds = {name: one * num for name, one in each.items()}
    each["together"] = sum(each.values())
    spans = (1 / 60 * num, 1 / 60 * step, 1 / 3600 * step * steps)
    rows = [(name, *(f"{one * span:,.3g}" for span in spans)) for name, one in each.items()]
    note = f"Of {step:,} completions a step and {steps:,} steps, at the pace of this machine, without the optimizer. "
    note += "Calls of rewards are added up." if new else "All completions were sampled before, and sampling not timed."
    found.tables.append(Table("Time", note, ("", "minutes here", "minutes a step", "hours of the run"), rows))


def _shown(sampled: Sampled, rollouts: Rollouts) -> Any:
    """Yields completions to read: the best and the worst paid of some prompts."""
    for place in np.linspace(0, len(sampled.rows) - 1, min(_SHOWN, len(sampled.rows))).astype(int):
        ranked, prompt = np.argsort(np.nan_to_num(rollouts.totals[place])), sampled.rows[place].prompt
        for which in (int(ranked[-1]), int(ranked[0])):
            said = sampled.completions[place][which]
            text = conversation_text(said.completion) if isinstance(said, Transcript) else str(said.text)
            yield {
                "id": sampled.rows[place].id,
                "prompt": (prompt if isinstance(prompt, str) else str(prompt[-1]["content"]))[-_LONGEST:],
                "completion": text[:_LONGEST],
                "rewards": dict(zip(rollouts.names, rollouts.counted[place, which].tolist(), strict=True)),
                "cut_off": bool(rollouts.cut[place, which]),
            }


def _say_tools(found: Rehearsed, completions: Sequence[Sequence[Transcript]]) -> None:
    flat = [each for group in completions for each in group]
    reasons = {
        "failed_calls": next((x.result[:200] for each in flat for x in each.calls if x.failure), ""),
        "lost": next((each.lost[:200] for each in flat if each.lost), ""),
    }
    tells: dict[str, Callable[[Transcript], Any]] = {
        "called": lambda each: each.calls,
        "failed_calls": lambda each: any(x.failure for x in each.calls),
        "unanswered": lambda each: each.unanswered,
        "lost": lambda each: each.lost,
    }
    for name, tell in tells.items():
        part = share(np.array([np.mean([bool(tell(each)) for each in group]) for group in completions]))
        sick = part.value > 0 if name == "lost" else None
        found.take(CHECKS[name], part, sick=sick, reason=reasons.get(name, ""))
    counted = call_metrics([each.counts for each in flat])
    rows = [
        (name, *(f"{counted[f'tools/{name}/{what}']:.3g}" for what in ("calls", "failure_share", "seconds_p95")))
        for name in dict.fromkeys(key.split("/")[1] for key in counted if key.endswith("/calls"))
    ]
    note = f"A completion has {counted['tools/turns']:.3g} turns."
    found.tables.append(Table("Tools", note, ("tool", "calls a completion", "fail", "95 % take less, seconds"), rows))
