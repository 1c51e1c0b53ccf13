"""The options of `align eval`, by what they are about."""

from dataclasses import dataclass

from align.cli.options import option


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who is evaluated, and on what."""

    model: str | None = option(None, "Policy: folder or hub id of a model or an adapter.")
    reward_model: str | None = option(None, "Reward model: scalar, pairwise or an adapter.")
    baseline: list[str] | None = option(None, "What to compare with, on the same items; several words.")
    data: str | None = option(
        None,
        "A file, a folder or a hub id: multiple-choice questions, prompts for `--rewards`, or pairs; pairs for a "
        "reward model.",
    )
    adapter: str | None = option(
        None, "Public schema of the questions (also of perturbation), such as arc or mmlu, or of pairs."
    )
    suite: list[str] | None = option(
        None,
        "accuracy consistency rotation reliance (all four if not given), modality (too, where questions have "
        "images), best_of_n, lm-eval:TASK (a name or a YAML file); or one suite with rows of its own: "
        "core_advantage, drift, faithfulness, perturbation, references, reversal.",
    )
    seed: int = option(0, "Of samples, shuffles and changes to traces.")
    card: bool = option(
        False, "Put the numbers, and the differences to baselines, on the model card in the folder of the run."
    )


@dataclass(frozen=True, kw_only=True)
class Parts:
    """How an evaluation is divided."""

    shard: str | None = option(None, "i/n: ask the i-th of n parts, such as 1/4, each on a machine of its own.")
    merge: list[str] | None = option(
        None, "Folders of all n shards, which become the evaluation in `--out`; several words, no other options."
    )


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """How questions become prompts and responses are read."""

    recipe: str | None = option(
        None,
        "Recipe whose prompt, tags, length and columns are used; by default the `recipe.yaml` of the model's run.",
    )
    prompt_template: str | None = option(
        None, "The prompt, with {question} and {options} once each; of references with {title} once."
    )
    system_prompt: str | None = option(None, "Message before every prompt.")
    conversational: bool | None = option(None, "Whether prompts are messages; by default if there is a chat template.")
    think_tag: str = option("think", "Tag around traces.")
    answer_tag: str = option("answer", "Tag around answers.")
    max_new_tokens: int = option(256, "Longest response in tokens.")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How responses are decoded."""

    temperature: float = option(0.0, "0 takes the likeliest token.")
    top_p: float = option(1.0, "Probability mass that sampling keeps.")
    num_samples: int = option(1, "Responses to each question.")


@dataclass(frozen=True, kw_only=True)
class ByRewards:
    """How answers to prompts are measured."""

    rewards: list[str] | None = option(
        None,
        "Rewards that measure answers to prompts, as `reward_funcs` names them: names, file.py:function, reward "
        "models; several words. By default the rewards and audits of the recipe.",
    )
    reward_kwargs: str = option("", "Settings of rewards, such as '{number_accuracy: {rel_tol: 0.01}}'.")
    reward_workers: int | None = option(None, "Processes that call rewards; else the recipe's, or none.")
    reward_timeout: float | None = option(None, "Seconds for one response, with `--reward_workers`.")
    right_from: float | None = option(
        None, "Value of a reward from which a response is right, for pass@k and maj@k; 1 of rewards that are 0 or 1."
    )
    pass_at_k: list[str] | None = option(None, "Each k; 1 and `num_samples` if not given.")


@dataclass(frozen=True, kw_only=True)
class OnPairs:
    """How a policy is measured on pairs."""

    reference: str | None = option(
        None,
        "Pairs: the model that log-probs are compared with; an adapter's base, the model of the run's recipe, or the "
        "only baseline if not given.",
    )


@dataclass(frozen=True, kw_only=True)
class OfSuites:
    """What a suite with rows of its own takes."""

    content_free: str = option(
        "N/A", "core_advantage: the prompt in place of a question, for what a model prefers anyway."
    )
    answer_tokens: int = option(32, "faithfulness: longest answer in tokens, where one is asked for behind a trace.")
    hint_pattern: str | None = option(
        None, "faithfulness: regular expression of traces that speak of the hint, beside our own ones."
    )
    families: list[str] | None = option(
        None,
        "perturbation: families of versions, names or file.py:function; several words. By default option_order "
        "whitespace distractor misleading_hint.",
    )
    control_data: str | None = option(
        None, "reversal: rows that were trained in both directions; else those whose column `control` is true."
    )
    drift_prompts: str | None = option(
        None, "drift: prompts (`prompt`, `category`) beside our own; `--data` has some in their place."
    )
    behaviours: str | None = option(
        None, "drift: what to look for in responses (`name`, and a `pattern` or a `question` for the judge)."
    )
    triggers: str | None = option(
        None, "drift: texts to put in front of each prompt (`trigger`, and of some `held_out`: true)."
    )
    control: str | None = option(
        None, "drift: a model that was trained on something harmless, beside the others in every table."
    )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured of a policy, and who helps."""

    num_shuffles: int = option(4, "Shuffles of each question's options.")
    common_group: str | None = option(None, "Group in which a shortcut helps, for the counter-drop.")
    counter_group: str | None = option(None, "Group in which the shortcut leads astray.")
    judge: str | None = option(
        None,
        "Model that reads from traces which option they state; of pairs, which of two responses is better; of drift, "
        "whether responses show a behaviour.",
    )
    verifier: str | None = option(None, "best_of_n: scalar reward model that chooses; else the shuffles survived.")
    verifier_threshold: float = option(0.0, "Rewards above it are accepted.")
    backend: str = option("transformers", "transformers or vllm.")


@dataclass(frozen=True, kw_only=True)
class OfRewardModels:
    """What is measured of a reward model."""

    probes: bool = option(False, "Reward models: probes for shortcuts.")
    probe_pairs: int = option(500, "Pairs to probe and to put phrases into, drawn at random.")
    slices: bool = option(False, "Reward models: features of responses that go with the margin.")
    phrases: str | None = option(None, "Reward models: a file of phrases, one a line, that are put into responses.")
    mine: bool = option(False, "Reward models: phrases from the slices, kept if held-out prompts bear them out.")
    position: str = option("front", "Where phrases are put: front, middle or end.")
    best_of_n: str | None = option(None, "Reward models: prompts with candidate responses to choose from.")
    prompt_format: str = option(
        "auto",
        "Reward models: auto (texts get the chat template if there is one), messages, or data (they stay).",
    )
    max_length: int | None = option(None, "Reward models: longest sequence; the model's own limit if not given.")
