"""The options of audits, filters, augmentation, merges, and checks of rewards, by what they are about."""

from dataclasses import dataclass
from pathlib import Path

from align.models.samplers.limits import Limits
from align.options import COLUMNS, Computing, Reading, option


@dataclass(frozen=True, kw_only=True)
class AuditReading:
    """How rows are read; those that cannot be used are counted and left out."""

    recipe: str | None = option(None, "Take the files and how they are read from a recipe.")
    eval: str | None = option(None, "Rows for evaluation, to look for leaks.")
    kind: str = option("", "pairs, questions, prompts, sft or outcomes; by the columns if not given.")
    split: str | None = option(None, "Split of a folder or hub data set.")
    eval_split: str | None = option(None, "Split of the rows for evaluation.")
    max_rows: int | None = option(None, "Read only this many rows of each file.")
    adapter: str | None = option(None, "Public schema the rows are in, such as mmlu.")
    columns: str = option("", COLUMNS)
    even_letters: bool = option(False, "Write rows in which each letter is right equally often, others left out.")


@dataclass(frozen=True, kw_only=True)
class NamedColumns:
    """Columns that only the user can name."""

    label: str | None = option(None, "sft: column of the class; by default the completion, where it is one.")
    text: str | None = option(None, "outcomes: column of the text.")
    outcome: str | None = option(None, "outcomes: column of what was observed.")
    confounders: list[str] | None = option(None, "outcomes: columns of what moves the outcome beside the text.")
    prompt: str | None = option(None, "outcomes: column of what the text answers.")


@dataclass(frozen=True, kw_only=True)
class ByBase:
    """How pairs are scored."""

    base: str | None = option(None, "Keep pairs of DATA: folder or hub id of a reward model trained on them.")
    tau: float = option(0.2, "Leave out pairs whose probability is this close to 1; ties: to 1/2.")
    max_length: int | None = option(None, "Longest sequence in tokens; the model's own limit if not given.")


@dataclass(frozen=True, kw_only=True)
class BySamples:
    """How samples of a policy are judged."""

    model: str | None = option(None, "Keep samples: folder or hub id of a policy that answers the prompts of DATA.")
    verifier: str | None = option(
        None, "Reward that accepts samples: a name of `align rewards list`, file.py:function, or a reward model."
    )
    verifier_threshold: float = option(0.0, "Values above it are accepted.")
    pass_rate: str | None = option(
        None, "Keep prompts, not samples, whose share of accepted samples is within LOW:HIGH, such as 0.1:0.9."
    )
    audit: str | None = option(None, "Reward that knows what is right; the verifier's errors go into the card.")
    right_from: float | None = option(None, "Value of the audit from which a sample is right; 1 if it is binary.")
    reward_kwargs: str = option("", "Settings of rewards, such as '{number_accuracy: {rel_tol: 0.01}}'.")
    num_samples: int = option(8, "Samples of each prompt.")
    temperature: float = option(1.0, "Temperature of sampling.")
    top_p: float = option(1.0, "Probability mass that sampling keeps.")
    max_new_tokens: int | None = option(None, "Longest sample in tokens; else the recipe's, or 256.")
    seed: int = option(0, "Seed of sampling.")
    recipe: str | None = option(
        None, "Recipe for tags, length, columns and guard; by default the `recipe.yaml` of the model's run."
    )
    backend: str = option("transformers", "transformers or vllm.")
    cache: Path | None = option(None, "Folder of the samples, found again after a stop; beside OUT if not given.")


@dataclass(frozen=True, kw_only=True)
class Loading(Computing, Reading):
    """How rows are read and models run."""

    batch_size: int = option(16, "Sequences at once.")


@dataclass(frozen=True, kw_only=True)
class Making:
    """Who makes data."""

    model: str | None = option(None, "A folder or hub id, or with `--endpoint` the name served there.")
    batch_size: int = option(16, "Responses at once without an endpoint.")
    conversational: bool | None = option(
        None, "Whether prompts are messages; by default if there is a chat template.", rare=True
    )
    cache: Path | None = option(None, "Folder of the answers, which runs may share; OUT/cache if not given.")
    dry_run: bool = option(False, "Print the number of calls and tokens; send none.", "--dry_run", "--dry-run")


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How a model is reached."""

    endpoint: str | None = option(None, "Base URL of an OpenAI-compatible server, such as http://localhost:8000/v1.")
    api_key_env: str | None = option(None, "Variable that holds the API key, if not OPENAI_API_KEY.")
    concurrency: int = option(16, "Calls to the endpoint at once.")
    timeout: float = option(Limits.timeout, "Seconds for an answer; a call without one is made again, twice.")
    max_retries: int = option(Limits.max_retries, "Times that a call is made again after an error.")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a model is sampled."""

    temperature: float | None = option(None, "Temperature of sampling; the method's own if not given.")
    max_new_tokens: int | None = option(None, "Longest response; the method's own if not given.")
    seed: int = option(0, "Seed of everything that is drawn.")


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What is merged, and how the results are compared."""

    base: str = option(..., "The model that was trained from: a folder or hub id.")
    tuned: str = option(..., "The model that was trained, or a LoRA of the base.")
    alpha: list[str] | None = option(
        None, "Weights of the tuned model: numbers, or FROM:TO:STEP; several words. 0.5, and 0:1:0.1 with `--data`."
    )
    data: str | None = option(None, "Questions, or prompts with `--rewards`, that all of them are evaluated on.")
    drift: bool = option(False, "Also measure how far each one drifted from the base on other prompts.")
    pick: str | None = option(None, "Which one alone to keep: 'accuracy where worst_group > 0.5', say.")


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a reward is tried on."""

    data: str | None = option(None, "Rows to try it on: file, folder or hub id; by default made-up ones.")
    columns: str = option("", COLUMNS)
    reward_kwargs: str = option("", "Settings of one reward, such as '{max_length: 200}'.")
    max_seconds: float = option(20.0, "Seconds for all calls of a reward, roughly; slow ones are tried on fewer rows.")


@dataclass(frozen=True, kw_only=True)
class RewardChecking(Tried):
    """How rewards are checked."""

    gold: str = option("", "Where right answers stand, such as answer or meta.gold; found by exchanges if not given.")
    time_limit: float | None = option(None, "Seconds for one call, after which a reward hangs; 5 if not given.")


@dataclass(frozen=True, kw_only=True)
class Attacking(Tried):
    """How rewards are attacked."""

    gold: str = option("", "Where right answers stand, such as answer or meta.gold; found by exchanges if not given.")
    samples: str = option("", "Column with honest responses: a text, messages, calls of tools, or a list.")
    environment: str | None = option(
        None, "Environment to play in: FILE:CLASS, package.module:Class or verifiers:NAME; else the recipe's."
    )
    hacks: list[str] | None = option(None, "Hacks of your own beside ours, such as mine.py:f.")
    red_team: str | None = option(None, "URL of an OpenAI-compatible server whose model writes hacks, too.")
    red_team_model: str = option("", "Name of that model; it is shown the reward's code.")
    limit: int = option(64, "Rows that are used, from all over the data.", least=1)
    max_length: int = option(4000, "Characters that a hack may have.", least=1)
    time_limit: float = option(5.0, "Seconds for one call of few rows.")
    max_seconds: float = option(60.0, Tried.__dataclass_fields__["max_seconds"].metadata["help"])


@dataclass(frozen=True, kw_only=True)
class AttackingOnPage(Attacking):
    """How rewards are attacked, and where the page of it goes."""

    out: str | None = option(None, "Folder for attack.html: a row for each reward, with its ladder and best hack.")


@dataclass(frozen=True, kw_only=True)
class MeasuringErrors(Tried):
    """How the error rates of a reward are measured."""

    gold: str = option("", "Column of the right answers; by default found by what the reward pays.")
    synonyms: str = option("", "Column of other right answers, one text or a list.")
    form: str = option("", "Completion with {} for the answer, such as 'Answer: {}'; else found by its pay.")
    labelled: list[str] | None = option(
        None, "COMPLETION:LABEL, columns of completions and of whether they are right (true or false)."
    )
    right_from: float | None = option(None, "Pay from which a text is accepted; else halfway from wrong to right.")
    pass_rate: str = option("", "Completions of a run that the reward passed, such as 310/512, to correct.")
    fail_on: list[str] | None = option(None, "Exit with 1 if a rate is told to be so: 'fnr > 0.05'.")
    limit: int = option(100, "Rows that are used, from all over the data.", least=1)
    time_limit: float = option(5.0, "Seconds for one call of few rows.")
    max_seconds: float = option(60.0, Tried.__dataclass_fields__["max_seconds"].metadata["help"])
