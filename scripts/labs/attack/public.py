"""Rewards that packages bring, as TRL calls them: of reasoning-gym, TRL, math-verify, verl and others."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from rewards import UNSEEN_FAMILIES
from rewards.reading.gym import GymGrader, read_entry
from rewards.reading.responses import DEFAULT_FORMAT, completion_text, parse_response
from scripts.labs.attack import rows
from scripts.labs.attack.cases import HERE, SOUND_ONES, Case
from scripts.labs.attack.gameable import of_text

ROWS, SEED = 16, 0
TASK = "reasoning_gym:{}?size={}&seed={}"
WITHOUT_A_GOLD = {"graph_color": "possible_answer", "propositional_logic": "example_answer"}  # where metadata has one
VERL = "verl.utils.reward_score"
SKYRL, ATROPOS, AREAL = "skyrl_gym.envs", "atroposlib.envs.reward_fns", "areal.reward"
NOT_ASKED = {
    "verifiers": "brings no reward of texts: `harbor`, `nemo_gym`, `openenv` and `textarena` score in a container, on "
    "a server or in a game, and its judges ask a model",
    f"`{VERL}.math_verify`": "starts processes that import all of verl, which needs `ray`",
    f"`{VERL}.prime_code`, `sandbox_fusion`": "run programs in processes of their own, or on a server",
    "ms-swift": "`swift.rewards.orm` needs `modelscope`",
    "reward-kit": "needs an older `openai` than the one installed",
    "torchtune": "brings masks and sums for PPO, and no reward of texts",
    "`atroposlib` `chandas_meter_reward`, `crossword_format_reward`": "are about Sanskrit verse and crosswords",
    "`skyrl_gym` `sql`, `lcb`": "need data bases and tests that the package does not bring",
}


def load(place: str, folder: str = "") -> Any:
    """Imports `package.module:name`, also of an unpacked wheel that is not installed.

    A parent whose own imports are absent, such as `ray`, stands as a bare package, so that its modules can be read.
    """
    if folder and folder not in sys.path:
        sys.path.append(folder)
    module, _, name = place.partition(":")
    parts = module.split(".")
    for parent in (".".join(parts[:n]) for n in range(1, len(parts))):
        try:
            import_module(parent)
        except ImportError:
            sys.modules[parent] = ModuleType(parent)
            sys.modules[parent].__path__ = [str(Path(folder, *parent.split(".")))]
    found = getattr(import_module(module), name)
    return found() if isinstance(found, type) else found


def as_it_is(place: str, folder: str, settings: Mapping[str, Any]) -> Callable[..., Any]:
    """Makes a reward of a function that takes `completions`, as TRL's do."""
    func = load(place, folder)
    return partial(func, **settings) if settings else func  # type: ignore[no-any-return]


def of_function(
    place: str, folder: str, text: str, gold: str, key: str = "", settings: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Makes a reward of a function of one text and one right answer, which may stand under a key."""
    func, more = load(place, folder), dict(settings or {})

    def score(given: str, right: str) -> float:
        found = func(**more, **{text: given, gold: {key: right} if key else right})
        found = found["score"] if isinstance(found, dict) else found[0] if isinstance(found, tuple) else found
        return float(found)

    score.__name__ = place.rpartition(".")[2]
    return of_text(score)


def verified(text: str, gold: str) -> bool:
    """Compares as the first lines of math-verify's page do."""
    from math_verify import parse, verify

    return bool(verify(parse(gold), parse(text)))


def metric(text: str, gold: str) -> float:
    """Compares by the package's metric, with its own settings for LaTeX and expressions."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig
    from math_verify.metric import math_metric

    both = (LatexExtractionConfig(), ExprExtractionConfig())
    return float(math_metric(both, both)([gold], [text])[0])


def graded() -> Callable[..., Any]:
    """Makes `rewards.reasoning_gym` without a process of its own: what is attacked is in one already."""
    grader = GymGrader()

    def reasoning_gym(
        completions: Sequence[Any], task: Sequence[str], entry: Sequence[str], **columns: Any
    ) -> list[float | None]:
        answers = [parse_response(completion_text(each), DEFAULT_FORMAT).answer for each in completions]
        return [score(*row) for row in zip(task, entry, answers, strict=True)]

    def score(task: str, entry: str, answer: str | None) -> float | None:
        try:
            return 0.0 if answer is None else float(grader((task, entry, answer)).score >= 1.0)
        except Exception:
            return None

    return reasoning_gym


def of_a_file(name: str) -> str:
    """Names a factory of this file as a reward is found."""
    return f"{Path(__file__)}:{name}"


def tool_calls() -> list[rows.Row]:
    """Makes questions for one call of a tool each; the right answer is a whole response, as rlla's data has it."""
    made = []
    for row in rows.capitals()[:ROWS]:
        call = {"name": "search", "parameters": {"query": row["prompt"], "limit": len(row["answer"])}}
        text = f"<think>I look it up.</think>\n<tool_call>\n{json.dumps(call)}\n</tool_call>"
        made.append({"prompt": row["prompt"], "answer": text})
    return made


def _solutions() -> list[rows.Row]:
    return rows.sums(8, column="solution")


def _sums() -> list[rows.Row]:
    return rows.sums(ROWS)


def _math_rows() -> list[rows.Row]:
    return [{**row, "solution": row["answer"]} for row in rows.sums(ROWS)]


def gym_rows(task: str) -> list[rows.Row]:
    """Draws rows of a task; where it has no right answer but shows one, that is the honest response."""
    from align.services.rewards import read_reward_rows

    drawn = read_reward_rows(TASK.format(task, ROWS, SEED), {})
    if key := WITHOUT_A_GOLD.get(task):
        for row in drawn:
            shown = read_entry(row["entry"])["metadata"][key]
            row["honest"] = f"<answer>{shown if isinstance(shown, str) else json.dumps(shown)}</answer>"
    return drawn


def _of_gym() -> list[Case]:
    from reasoning_gym.factory import DATASETS

    return [Case(task, of_a_file("graded"), partial(gym_rows, task)) for task in sorted(set(DATASETS) - {"composite"})]


def cases(folder: str) -> dict[str, list[Case]]:
    """Lists the rewards of each package; those of a package that is not installed are read in `folder`."""

    def one(place: str, text: str, gold: str, own: Any = _sums, **more: Any) -> Case:
        kwargs = {"place": place, "folder": folder, "text": text, "gold": gold, **more}
        return Case(place.partition(f"{place.split('.')[0]}.")[2], of_a_file("of_function"), own, kwargs)

    def batch(place: str, settings: Mapping[str, Any] | None = None) -> Case:
        kwargs = {"place": f"{ATROPOS}.{place}", "folder": folder, "settings": settings or {}}
        return Case(place.replace(":", "."), of_a_file("as_it_is"), _math_rows, kwargs)

    both, areal = ("solution_str", "ground_truth"), {"prompt": "", "prompt_ids": [], "completion_ids": []}
    rlla = {"data_source": "rlla", "extra_info": {"experiment_name": "qwen"}}
    trl = partial(Case, rows=_solutions, form="messages")
    return {
        "TrueAlign": [
            *SOUND_ONES,
            Case("manipulation", "manipulation"),
            Case("perturbation_consistency", "perturbation_consistency", rows.versions),
            Case("phrases", "phrases", rows.sums, {"file": str(HERE.parents[2] / "tests/rewards/phrases.txt")}),
            Case("reference_consistency", "reference_consistency", rows.references),
            Case("unseen_perturbation_consistency", "unseen_perturbation_consistency",
                 partial(rows.versions, UNSEEN_FAMILIES)),
        ],
        "trl": [
            trl("accuracy_reward", "trl.rewards.accuracy_reward"),
            trl("reasoning_accuracy_reward", "trl.rewards.reasoning_accuracy_reward"),
            trl("get_cosine_scaled_reward", "trl.rewards.get_cosine_scaled_reward", kwargs={"max_len": 1000}),
            Case("think_format_reward", "trl.rewards.think_format_reward", form="messages"),
            Case("get_soft_overlong_punishment", "trl.rewards.get_soft_overlong_punishment",
                 kwargs={"max_completion_len": 1000, "soft_punish_cache": 200}),
            Case("get_repetition_penalty_reward", "trl.rewards.get_repetition_penalty_reward"),
        ],
        "math_verify": [
            Case(name, of_a_file("of_function"), _sums,
                 {"place": f"{__name__}:{name}", "folder": "", "text": "text", "gold": "gold"})
            for name in ("verified", "metric")
        ],
        "verl": [
            one(f"{VERL}.gsm8k:compute_score", *both),
            one(f"{VERL}.math_reward:compute_score", *both),
            one(f"{VERL}.math_dapo:compute_score", *both),
            one(f"{VERL}.prime_math:compute_score", "model_output", "ground_truth"),
            one(f"{VERL}.geo3k:compute_score", "predict_str", "ground_truth"),
            one(f"{VERL}.search_r1_like_qa_em:compute_score", *both, rows.capitals, key="target"),
            one(f"{VERL}.search_r1_like_qa_em:compute_score_subem", *both, rows.capitals, key="target"),
            one(f"{VERL}.rlla:compute_score", *both, tool_calls, settings=rlla),
        ],
        "skyrl_gym": [
            one(f"{SKYRL}.gsm8k.utils:compute_score", *both),
            one(f"{SKYRL}.aime.utils:compute_score", *both),
            one(f"{SKYRL}.search.utils:compute_score", *both, rows.capitals, key="target"),
            one(f"{SKYRL}.search.utils:compute_score_subem", *both, rows.capitals, key="target"),
        ],
        "atroposlib": [
            batch("accuracy_reward:accuracy_reward"), batch("r1_reward:accuracy_reward"), batch("r1_reward:r1_reward"),
            batch("r1_reward:format_reasoning_reward"), batch("format_reward:format_reward"),
            batch("reasoning_steps_reward:reasoning_steps_reward"), batch("cosine_scaled_reward:cosine_scaled_reward"),
            batch("repetition_penalty_reward:repetition_penalty_reward"),
            batch("cascading_r1_math_reward:cascading_r1_math_reward"),
        ],
        "areal": [
            one(f"{AREAL}.{name}:{name}_reward_fn", "completions", "answer", settings=areal)
            for name in ("gsm8k", "geometry3k", "clevr_count_70k")
        ],
        "reasoning_gym": _of_gym(),
    }  # fmt: skip
