"""Settings of ACRE."""

from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig

from align.methods.acre.rules import RULES
from align.methods.rollouts.config import SkipConfig, ToolConfig
from align.tools.named import specs_of
from align.training.as_in_trl import CheckedConfig


def _check_engine(config: Any) -> None:
    specs_of(config)
    if config.second_pass == "vllm" and not config.use_vllm:
        raise ValueError("`second_pass: vllm` needs vLLM rollouts. Set `use_vllm: true`, or `second_pass: forward`.")


@dataclass
class ACREConfig(CheckedConfig, SkipConfig, ToolConfig, GRPOConfig):
    """Settings of `ACRETrainer`, `TextACRETrainer` and `ToolACRETrainer`; everything else is TRL's `GRPOConfig`.

    Paper (arXiv 2510.10104) to field: trace t and first answer a come from the rollout; the shuffle and the second
    answer are set here; the coefficients alpha_1..3 of Formula 3 belong to the reward `answer_consistency`
    (`both`, `first_only`, `second_only`). With coefficients (1, 1, 0) no second pass is made and this is GRPO.
    """

    RULES = RULES._replace(together=_check_engine)  # trainers check what goes together with what they are given

    second_pass: str = field(
        default="auto",
        metadata={
            "help": "Where the second answer comes from: `forward` (the policy itself), `vllm` (one call of its "
            "engine, text only), `auto` (`vllm` when rollouts of text come from vLLM, else `forward`), or `off`."
        },
    )
    second_pass_rows: str = field(
        default="needed",
        metadata={
            "help": "`needed` asks again only where a reward can depend on the second answer; `all` asks every row "
            "with an answer, which completes the logged rates."
        },
    )
    second_pass_batch_size: int = field(
        default=64, metadata={"help": "Rows per forward pass of the second pass, on each device."}
    )
    num_shuffles: int = field(
        default=1, metadata={"help": "Shuffles per question, or versions of a prompt; the reward averages over them."}
    )
    exclude_identity: bool = field(
        default=False,
        metadata={"help": "Whether to redraw a shuffle that leaves every option in place. The paper keeps it."},
    )
    permutation_scope: str = field(
        default="group",
        metadata={
            "help": "`group` draws one shuffle, or version, for all generations of a prompt, `row` one for each. With "
            "`group` the changed prompt is read once per group."
        },
    )
    scrub_letters: bool = field(
        default=False,
        metadata={
            "help": "Whether option letters named in the trace are replaced by the option's text before the second "
            "pass. The paper does not."
        },
    )
    families: list[str] = field(
        default_factory=lambda: [],
        metadata={
            "help": "What a recipe changes a prompt by where answers are texts: `whitespace`, `distractor`, or your "
            "own as `path/to/file.py:function`, which takes a `Version` and a random.Random and returns the changed "
            "text, a `Version`, the changed prompt and its right answer, or None. With it the rows are prompts; "
            "without it, questions with options. With `tools` they change a result: `other_value`, `error`, "
            "`paraphrase`, `irrelevant`, or your own."
        },
    )
    answer_reward: str | None = field(
        default=None,
        metadata={
            "help": "The reward among `reward_funcs` or `audit_funcs` that says whether a text is the right answer: "
            "it is where its value is above 0. Needed with `families`."
        },
    )
    gold_column: str = field(
        default="answer",
        metadata={"help": "Column with the right answer, which the families may change; with `families`."},
    )
    second_answer_tokens: int = field(
        default=16, metadata={"help": "Longest second answer in tokens, its closing tag included; with `families`."}
    )
    second_answer_temperature: float = field(
        default=0.0,
        metadata={
            "help": "0 takes the likeliest letter of a second answer, or with `families` its likeliest tokens; above "
            "it they are sampled."
        },
    )
    without_result: str = field(
        default="first_only",
        metadata={"help": "How a right answer without a tool result is paid: `first_only` (half), or `grpo` (full)."},
    )
    think_tag: str = field(default="think", metadata={"help": "Tag around the reasoning trace."})
    answer_tag: str = field(default="answer", metadata={"help": "Tag around the answer."})
