"""Rules for the settings of ACRE: nothing of TRL is imported."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from align.errors import DataError
from align.methods.rollouts.config import SKIPPING
from align.recipe.dataset import DatasetConfig, MultipleChoiceDatasetConfig, PromptDatasetConfig
from align.recipe.rules import COUNT, NOT_NEGATIVE, Rules
from rewards.scoring.families import check_specs

OF_TEXTS = {"answer_reward": None, "gold_column": "answer", "second_answer_tokens": 16}
OF_LETTERS = {"exclude_identity": "a version that changes nothing never counts", "scrub_letters": "texts have none"}


def check_answers(settings: Any) -> None:
    """Refuses settings for text answers where answers are letters, and the other way round."""
    if not settings.families:
        for name, default in OF_TEXTS.items():
            if getattr(settings, name) != default:
                raise ValueError(
                    f"`{name}` is about answers that are texts, and without `families` answers are letters of "
                    "options. Name `families` that change a prompt, or remove the key."
                )
        return
    for name, why in OF_LETTERS.items():
        if getattr(settings, name):
            raise ValueError(f"`{name}` is about letters of options, and with `families` answers are texts: {why}.")
    check_specs(settings.families, "`families`")
    if settings.answer_reward is None:
        raise ValueError(
            "`families` needs `answer_reward`: the reward among `reward_funcs` or `audit_funcs` that says whether a "
            "text is the right answer, such as `answer_reward: text_accuracy` with `audit_funcs: [text_accuracy]`."
        )


def check_only_letters(settings: Any) -> None:
    """Refuses settings that `ACRETrainer` does not read; in a recipe `families` choose the trainer."""
    unread: dict[str, Any] = OF_TEXTS | {"families": []}
    for name, default in unread.items():
        if (value := getattr(settings, name)) != default:
            raise ValueError(
                f"`{name}` is about answers that are texts, and `ACRETrainer` asks for letters of options; got "
                f"{value!r}. Use `TextACRETrainer(families=..., answer_reward=...)`, or leave it out."
            )


def check_answer(row: Mapping[str, Any]) -> None:
    """Refuses a right answer that is no index of an option: no letter that is read would ever be equal to it."""
    answer, options = row["answer"], row["options"]
    is_index = isinstance(answer, Integral) and not isinstance(answer, bool)
    if not (is_index and 0 <= int(answer) < len(options)):
        raise DataError(
            f"`answer` must be the index of the right option, from 0 to {len(options) - 1}; the row of "
            f"{row['question']!r} has {answer!r}. `align.data.questions_to_rows` makes rows of letters and texts."
        )


def check_only_texts(settings: Any) -> None:
    """Refuses settings that `TextACRETrainer` does not read."""
    for name, why in OF_LETTERS.items():
        if getattr(settings, name):
            raise ValueError(
                f"`{name}` is about letters of options, and answers of `TextACRETrainer` are texts: {why}. Leave it "
                "out, or use `ACRETrainer`."
            )


def dataset_class(content: dict[str, Any]) -> type[DatasetConfig]:
    """Returns the class of the `dataset` block: of prompts where answers are texts, else of questions with options."""
    return PromptDatasetConfig if content.get("families") else MultipleChoiceDatasetConfig


RULES = Rules(
    choices={
        "second_pass": ("auto", "forward", "vllm", "off"),
        "second_pass_rows": ("needed", "all"),
        "permutation_scope": ("group", "row"),
    }
    | SKIPPING,
    ranges={
        "num_shuffles": COUNT,
        "second_pass_batch_size": COUNT,
        "second_answer_tokens": COUNT,
        "second_answer_temperature": NOT_NEGATIVE,
    },
    together=check_answers,
)
