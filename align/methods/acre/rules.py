"""Rules for the settings of ACRE: nothing of TRL is imported."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any, NamedTuple

from align.errors import DataError
from align.methods.rollouts.config import OF_CALLS, SKIPPING
from align.recipe.dataset import DatasetConfig, MultipleChoiceDatasetConfig, PromptDatasetConfig
from align.recipe.rules import COUNT, NOT_NEGATIVE, POSITIVE, Rules
from align.tools.named import specs_of
from rewards.scoring.families import ON_PROMPTS, ON_RESULTS, check_specs

NEEDS_ANSWER_REWARD = (
    "`families` needs `answer_reward`: the reward among `reward_funcs` or `audit_funcs` that says whether a "
    "text is the right answer, such as `answer_reward: text_accuracy` with `audit_funcs: [text_accuracy]`."
)


class About(NamedTuple):
    """Settings that some answers alone have, with their defaults, and how such answers are had."""

    answers: str
    settings: dict[str, Any]
    remedy: str


LETTERS = About(
    "letters of options",
    {"exclude_identity": False, "scrub_letters": False},
    "without `families`, in Python with `ACRETrainer`, answers are letters",
)
TEXTS = About(
    "answers that are texts",
    {"families": [], "answer_reward": None, "gold_column": "answer", "second_answer_tokens": 16},
    "with `families`, in Python with `TextACRETrainer`, answers are texts",
)
BEHIND_TOOLS = About(
    "answers behind the result of a tool",
    {"without_result": "first_only"},
    "with `tools`, in Python with `ToolACRETrainer`, answers stand behind some",
)


def check_answers(settings: Any) -> None:
    """Refuses settings for text answers where answers are letters, and the other way round; and for tools without."""
    if settings.environment is not None:
        raise ValueError(
            "`environment` brings rows and rewards of its own, and how a right answer changes with a result is not "
            "known of it. Use `method: grpo`, or name tools with `tools` or `environment_factory`."
        )
    tools, environments = specs_of(settings)
    if (tools or environments) and not settings.families:
        raise ValueError(
            "`tools` and `environment_factory` need `families`, which say how a result is changed, such as "
            "`families: [other_value, paraphrase]`: questions with options are answered without tools."
        )
    if not (tools or environments):
        check_about(settings, BEHIND_TOOLS)
    if not settings.families:
        check_about(settings, TEXTS)
        return
    check_about(settings, LETTERS)
    check_specs(settings.families, "`families`", ON_RESULTS if tools or environments else ON_PROMPTS)


def check_about(settings: Any, *unread: About) -> None:
    """Refuses settings that are about answers which there are none of; in a recipe `families` choose the trainer."""
    for about in unread:
        for name, default in about.settings.items():
            if (value := getattr(settings, name)) != default:
                raise ValueError(
                    f"`{name}` is about {about.answers}, and here are none; got {value!r}. Remove {about.remedy}."
                )


def check_answer(row: Mapping[str, Any]) -> None:
    """Refuses a right answer that is no index of an option: no letter that is read would ever be equal to it."""
    if "answer" not in row:
        return
    answer, options = row["answer"], row["options"]
    is_index = isinstance(answer, Integral) and not isinstance(answer, bool)
    if not (is_index and 0 <= int(answer) < len(options)):
        raise DataError(
            f"`answer` must be the index of the right option, from 0 to {len(options) - 1}; the row of "
            f"{row['question']!r} has {answer!r}. `align.data.questions_to_rows` makes rows of letters and texts."
        )


def dataset_class(content: dict[str, Any]) -> type[DatasetConfig]:
    """Returns the class of the `dataset` block: of prompts where answers are texts, else of questions with options."""
    return PromptDatasetConfig if content.get("families") else MultipleChoiceDatasetConfig


RULES = Rules(
    choices={
        "second_pass": ("auto", "forward", "vllm", "off"),
        "second_pass_rows": ("needed", "all"),
        "permutation_scope": ("group", "row"),
        "without_result": ("first_only", "grpo"),
    }
    | SKIPPING,
    ranges={
        "num_shuffles": COUNT,
        "second_pass_batch_size": COUNT,
        "second_answer_tokens": COUNT,
        "second_answer_temperature": NOT_NEGATIVE,
        "tool_timeout": POSITIVE,
        "tool_memory_gb": POSITIVE,
    },
    together=check_answers,
    read_with={("tools", "environment_factory"): OF_CALLS},
)
