"""Writes a short file by which another framework calls a guarded reward of ours."""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from align.errors import UserError
from align.recipe.rules import suggestion
from align.runs.disk_space import check_writable
from align.whole_files import write_whole
from rewards.catalog import resolve_reward
from rewards.running.protocol import CALL_ARGUMENTS, TRAINER_ARGUMENTS, is_async, reads_whole_batch, reward_name

ANSWERS = ("answer", "solution", "ground_truth", "reference", "gold", "label", "target")  # names of right answers

HEAD = Template('''\
"""The reward `$name` for $framework: a row that raises, hangs or is no finite number costs itself, and no run.

Written by `align rewards export`, after the calls of $version:
$places.
$use
It needs `pip install truealign`, which brings no torch, in the environment of $framework.
"""
$imports

import align
from rewards import resolve_reward
$more
HERE = Path(__file__).resolve().parent
guarded = align.guard(resolve_reward($spec, $settings, base_dir=HERE)$limits)
''')

VERL = Template('''

def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    """Scores one response; verl logs `invalid` beside the score. Other columns are those of `extra_info`."""
    columns = {**(extra_info or {}), "data_source": data_source, $answer: ground_truth}
    score = guarded.score_one(solution_str, columns, prompt=columns.get("prompt", ""))
    value = score.value or 0.0
    return {"score": value, "acc": value, "invalid": float(score.failure is not None)}
''')

OPENRLHF = Template('''
SPECIAL = re.compile(r"(?:<\\|[^<>|]*\\|>|</s>|<eos>|<pad>|\\s)+$$")  # queries are decoded with special tokens


def score_one(query, prompt, label):
    """Scores the response, which stands behind its prompt."""
    return guarded.score_one(SPECIAL.sub("", query.removeprefix(prompt)), {$answer: label}, prompt)


def reward_func(queries, prompts, labels, **kwargs):
    """Scores responses; OpenRLHF logs `invalid` beside the rewards."""
    import torch

    scores = list(map(score_one, queries, prompts, labels))
    values = torch.tensor([score.value or 0.0 for score in scores])
    invalid = torch.tensor([float(score.failure is not None) for score in scores])
    return {"rewards": values, "scores": values, "extra_logs": {"invalid": invalid}}
''')

SWIFT = Template('''

class $name(ORM):
    """Scores a batch of responses beside the columns of their rows; a row without a reward is None."""

    def __call__(self, completions, **kwargs):
        size = len(completions)
        columns = {name: each for name, each in kwargs.items() if isinstance(each, list) and len(each) == size}
        columns.setdefault($answer, columns.get("solution", [None] * size))
        columns["prompts"] = [text_of(messages[:-1]) for messages in columns.pop("messages", [[]] * size)]
        columns["completion_ids"] = columns.pop("response_token_ids", [[]] * size)
        return $call


orms[$key] = $name
''')

VERIFIERS = Template('''

try:
    from verifiers import Rubric
except ImportError:  # 0.4 and newer, where tasks name their rewards

    async def $name(task, trace) -> float:
        """Scores one rollout, by its last reply, beside the columns of its task."""
        columns = {$answer: None, **dict(task)}
        return (await asyncio.to_thread(guarded.score_one, trace.last_reply, columns, task.prompt_text)).value or 0.0

else:

    async def $name(prompt, completion, answer, info=None, state=None, task=None, parser=None, **kwargs) -> float:
        """Scores one rollout, by its last message; other columns are those of the row and of `info`."""
        columns = {**kwargs, **(info if isinstance(info, dict) else {}), $answer: answer}
        return (await asyncio.to_thread(guarded.score_one, completion, columns, prompt)).value or 0.0

    rubric = Rubric(funcs=[$name])  # for `vf.SingleTurnEnv(dataset=..., rubric=rubric)`
''')

PRIME_RL = Template('''

class Data(vf.TaskData):
    columns: dict = {}


class RewardedTask(vf.Task[Data]):
    @vf.reward
    async def $name(self, trace: vf.Trace) -> float:
        """Scores one rollout, by its last reply, beside the columns of its row."""
        row = trace.last_reply, self.data.columns, self.data.prompt_text
        return (await asyncio.to_thread(guarded.score_one, *row)).value or 0.0


class Config(vf.TasksetConfig):
    path: str = "train.jsonl"


class RewardedTaskset(vf.Taskset[RewardedTask, Config]):
    """Rows of a JSONL file: `prompt`, and the columns that the reward reads."""

    def load(self):
        lines = Path(self.config.path).read_text(encoding="utf-8").splitlines()
        for idx, row in enumerate(json.loads(line) for line in lines if line.strip()):
            yield RewardedTask(Data(idx=idx, prompt=row.pop("prompt"), columns=row), self.config.task)


__all__ = ["RewardedTaskset"]
''')


class Framework(NamedTuple):
    """How a framework calls a reward.

    Attributes:
        version: Whose sources were read.
        places: Where in them the call stands.
        use: What names the file there; `$path`, `$module` and `$name` are filled in.
        body: The part of the file that is its own.
        imports: Above those of ours.
        more: Imports of its own, below ours.
        in_batches: Whether it hands over the rows of a batch, and takes None.
        answered: How it names the right answer.
    """

    version: str
    places: str
    use: str
    body: Template
    imports: str = "from pathlib import Path"
    more: str = ""
    in_batches: bool = False
    answered: str = ""


FRAMEWORKS = {
    "verl": Framework(
        "verl 0.9.0",
        "verl/experimental/reward_loop/reward_manager/naive.py and verl/trainer/ppo/reward.py",
        "reward.custom_reward_function.path=$path reward.custom_reward_function.name=compute_score",
        VERL,
        answered="`ground_truth`",
    ),
    "openrlhf": Framework(
        "OpenRLHF 0.11.0",
        "openrlhf/utils/agent.py and examples/python/math_reward_func.py",
        "--reward.remote_url $path",
        OPENRLHF,
        "import re\nfrom pathlib import Path",
        answered="`labels`",
    ),
    "ms-swift": Framework(
        "ms-swift 4.5.2",
        "swift/rl_core/grpo_algorithm.py and swift/rewards/orm.py",
        "--external_plugins $path --reward_funcs $name",
        SWIFT,
        more="from rewards.running.standalone import text_of\nfrom swift.rewards import ORM, orms\n",
        in_batches=True,
        answered="the column of that name, or `solution`",
    ),
    "verifiers": Framework(
        "verifiers 0.3.0 and 0.4.0",
        "verifiers/rubrics/rubric.py and verifiers/v1/utils/loaders.py",
        'from $module import rubric (0.3), or in a taskset\'s config (0.4): task.rewards.$name.fn = "$module:$name"',
        VERIFIERS,
        "import asyncio\nfrom pathlib import Path",
        answered="`answer`",
    ),
    "prime-rl": Framework(
        "prime-rl 0.8.0 with verifiers 0.3.0",
        "src/prime_rl/orchestrator/envs.py, verifiers/v1/taskset.py and verifiers/v1/utils/decorators.py",
        'env.taskset.id = "$module" and env.taskset.path = "train.jsonl", with this folder on PYTHONPATH',
        PRIME_RL,
        "import asyncio\nimport json\nfrom pathlib import Path\n\nimport verifiers.v1 as vf",
        answered="the column of that name",
    ),
}


class Exported(NamedTuple):
    """The file, what names it in the framework, and where the columns of the reward come from, in a sentence."""

    path: Path
    use: str
    columns: str


def export_reward(
    spec: str,
    framework: str,
    out: Path | None = None,
    *,
    reward_kwargs: Mapping[str, Any] | None = None,
    answer: str | None = None,
    timeout: float = 60.0,
    workers: int = 1,
) -> Exported:
    """Writes the file by which a framework calls a guarded reward; its options are those of `align rewards export`."""
    if framework not in FRAMEWORKS:
        known = ", ".join(FRAMEWORKS)
        raise UserError(f"`--for` must be one of {known}; got {framework!r}.{suggestion(framework, list(FRAMEWORKS))}")
    if not timeout > 0:
        raise UserError(f"`--timeout` must be above 0, got {timeout}: a reward that hangs has to be stopped sometime.")
    to = FRAMEWORKS[framework]
    try:
        reward = resolve_reward(spec, reward_kwargs, base_dir=Path.cwd())
    except ValueError as error:
        raise UserError(str(error)) from error
    name = reward_name(reward)
    if not name.isidentifier():
        raise UserError(
            f"A reward needs a Python name to be exported; `{spec}` is called {name!r}. Define it by `def`."
        )
    if reads_whole_batch(reward) and not to.in_batches:
        fits = ", ".join(each for each, other in FRAMEWORKS.items() if other.in_batches)
        raise UserError(
            f"`{name}` compares the completions of a batch (`whole_batch = True`), and {framework} hands over one by "
            f"one. Export it for {fits}, or export a reward that scores each completion by itself."
        )
    answer, columns = _answer_column(name, reward, answer)
    module = f"{name}_{framework}".replace("-", "_")
    out = out or Path(f"{module}.py")
    if out.suffix != ".py" or not out.stem.isidentifier():
        raise UserError(f"`--out` must be a file that Python can import, such as {module}.py; got {out}.")
    if out.exists():
        raise UserError(f"{out} is there already and is not overwritten. Choose another `--out`, or move it.")
    check_writable(out.parent, "--out")
    use = Template(to.use).substitute(path=out.resolve(), module=out.stem, name=name)
    awaited = is_async(reward)
    call = 'guarded(completions=completions, trainer_state=kwargs.get("trainer_state"), **columns)'
    words = {
        "name": name,
        "key": repr(name),
        "answer": repr(answer),
        "call": f"result_of({call})" if awaited else call,
    }
    more = to.more if not (awaited and to.in_batches) else f"from rewards.running.protocol import result_of\n{to.more}"
    limits = f", timeout={timeout!r}" + ("" if awaited else f", workers={workers}")
    head = HEAD.substitute(
        name=name,
        framework=framework,
        version=to.version,
        places=to.places,
        use=f"There: {use}",
        imports=to.imports,
        more=more,
        spec=repr(_beside(spec, out)),
        settings=repr(dict(reward_kwargs or {})),
        limits=limits,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, head + to.body.substitute(words))
    others = [f"`{column}`" for column in columns if column != answer]
    rest = f" {', '.join(others)}: from the row, where it has that column." if others else ""
    return Exported(out, use, f"`{answer}` is {to.answered} of {framework}.{rest}")


def _answer_column(name: str, reward: Callable[..., Any], answer: str | None) -> tuple[str, list[str]]:
    given = (*CALL_ARGUMENTS, *TRAINER_ARGUMENTS)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    read = [each for each in inspect.signature(reward).parameters.values() if each.kind in kinds]
    columns = [each.name for each in read if each.name not in given]
    required = [each.name for each in read if each.name in columns and each.default is each.empty]
    if answer is not None and columns and answer not in columns:
        raise UserError(f"`--answer {answer}`: `{name}` reads no such column; it reads {', '.join(columns)}.")
    named = [each for each in ANSWERS if each in columns]
    return answer or (named or (required if len(required) == 1 else []) or ["answer"])[0], columns


def _beside(spec: str, out: Path) -> str:
    """Writes the path of a reward's file as it is seen from the file that is written."""
    path, colon, name = spec.rpartition(":")
    if not colon or not path.endswith(".py"):
        return spec
    return f"{os.path.relpath(Path(path).expanduser().resolve(), out.resolve().parent)}:{name}"
