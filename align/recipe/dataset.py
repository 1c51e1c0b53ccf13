import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from align import plugins
from align.errors import UserError

Perturbation = Literal["option_order", "whitespace", "distractor", "misleading_hint"]  # `rewards.FAMILIES`
PLACE = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")  # the first form is a word in braces, and no place
MADE = "prompt"  # what a template makes, and cannot read


class MadePrompts(BaseModel):
    """How prompts are made."""

    prompt_template: str | list[str] | None = Field(
        default=None,
        description="Makes the prompt of other columns, named in braces, such as {title}; {options} are written with "
        "letters. A list of wordings asks each row in every one of them. By default rows have a `prompt`.",
    )
    system_prompt: str | None = Field(default=None, description="System message before what `prompt_template` makes.")
    conversational: bool = Field(
        default=True,
        description="Whether what `prompt_template` makes are messages for the chat template, or plain text.",
    )
    perturb: list[Perturbation] | None = Field(
        default=None,
        description="Adds one answer-preserving version of each training row per family, for rewards that read "
        "`origin`.",
    )
    eval_perturb: list[Perturbation] | None = Field(
        default=None, description="Families for rows of evaluation; by default as `perturb`, [] for none."
    )
    perturb_seed: int = Field(default=0, description="Seed of the versions.")

    @property
    def wordings(self) -> tuple[str, ...]:
        """The templates; none where rows have prompts."""
        given = self.prompt_template
        return () if given is None else (given,) if isinstance(given, str) else tuple(given)

    @property
    def eval_families(self) -> list[Perturbation]:
        """The families that evaluation rows are perturbed by."""
        return (self.perturb or []) if self.eval_perturb is None else self.eval_perturb

    @property
    def rows_together(self) -> int:
        """How many training rows a row becomes, which rewards have to see in one call."""
        return max(len(self.wordings), 1 + len(self.perturb or ()))

    @property
    def eval_rows_together(self) -> int:
        """How many evaluation rows a row becomes."""
        return max(len(self.wordings), 1 + len(self.eval_families))

    @field_validator("prompt_template")
    @classmethod
    def _has_places(cls, template: str | list[str] | None) -> str | list[str] | None:
        wordings = [template] if isinstance(template, str) else template
        if wordings is None:
            return template
        if not wordings or len(set(wordings)) < len(wordings):
            raise ValueError("the list must hold wordings, each once")
        for wording in wordings:
            names = places_of(wording)
            if not names or MADE in names:
                raise ValueError(
                    "a wording must name a column in braces, such as {question}, and not {prompt}, which it makes"
                )
            if "options" in names and "question" not in names:
                raise ValueError("a wording with {options} needs {question}, too")
        return template

    @field_validator("perturb", "eval_perturb")
    @classmethod
    def _names_each_once(cls, families: list[Perturbation] | None) -> list[Perturbation] | None:
        if families and len(set(families)) < len(families):
            raise ValueError("a family is there twice; name each once")
        return families

    @model_validator(mode="after")
    def _fits_together(self) -> "MadePrompts":
        if self.system_prompt is not None and (not self.wordings or not self.conversational):
            raise ValueError("`system_prompt` needs a `prompt_template`, and `conversational: true`")
        if len(self.wordings) > 1 and (self.perturb or self.eval_perturb):
            raise ValueError("`perturb` makes versions of one wording, and `prompt_template` has several. Keep one")
        if "perturb_seed" in self.model_fields_set and not self.perturb and not self.eval_perturb:
            raise ValueError("`perturb_seed` is the seed of `perturb`, and nothing is perturbed")
        if self.eval_perturb is not None and getattr(self, "eval_path", None) is None:
            raise ValueError("`eval_perturb` is about the rows of `eval_path`, and none is given")
        return self


def places_of(wording: str) -> tuple[str, ...]:
    """Names the columns that a wording reads.

    Example:
        >>> places_of("Who wrote {title}? Write {{title}}.")
        ('title',)
    """
    return tuple(dict.fromkeys(match[2] for match in PLACE.finditer(wording) if match[2]))


PLACEHOLDERS = ("{question}", "{options}")
JOINT = " + "  # between the paths of a mixture
OF_THE_MIXTURE = (
    "path", "mix", "stopping_strategy", "mix_seed", "eval_path", "eval_split", "max_eval_rows", "eval_perturb",
    "probe_path",
)  # fmt: skip
MEDIA = ("image", "images", "video")
OF_PAIRS = ("prompt", "chosen", "rejected", "id", "tools", "chat_template_kwargs")
MIN_PIXELS = 28 * 28  # one token of Qwen2-VL
DEFAULT_TEMPLATE = """{question}

Options:
{options}

Think it through inside <think> and </think>. Then write only the letter of the right option inside <answer> and \
</answer>."""


class MixedSet(BaseModel):
    """One data set of a mixture; what it leaves out is as the keys beside `mix` say."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, description="Its rows, as in `dataset.path`.")
    weight: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Its share of the rows, against the weights of the others; all sets have one, or none.",
    )
    split: str | None = Field(default=None, description="Split of a folder or hub data set.")
    max_rows: int | None = Field(default=None, ge=1, description="Read only this many of its rows.")
    columns: dict[str, str | list[str]] | None = Field(default=None, description="As `dataset.columns`.")
    adapter: str | None = Field(default=None, description="As `dataset.adapter`.")
    media_dir: str | None = Field(default=None, description="As `dataset.media_dir`.")


class DatasetConfig(BaseModel):
    """What the `dataset` block of every method has."""

    model_config = ConfigDict(extra="forbid")
    rows_are: ClassVar[str] = ""  # to an audit; their columns tell it where nothing is said

    path: str = Field(
        min_length=1,
        description="Training rows: a file (.jsonl, .json, .csv, .parquet), a folder, a hub id "
        "(`owner/name` or `owner/name:subset`), or a task of reasoning-gym (`reasoning_gym:TASK?setting=value`).",
    )
    mix: list[MixedSet] | None = Field(
        default=None,
        description="Several data sets in place of `path`, each a block of `path` and `weight`, its share of the rows "
        "for training; `split`, `max_rows`, `columns`, `adapter` and `media_dir` of one win over those beside `mix`.",
    )
    stopping_strategy: Literal["first_exhausted", "all_exhausted", "all_exhausted_without_replacement"] = Field(
        default="first_exhausted",
        description="When a mixture ends: at the end of the first set, so that no row is there twice; when every row "
        "was there, and rows of small sets several times; or when every row was there once.",
    )
    mix_seed: int = Field(default=0, ge=0, description="Seed of the order in which sets of a mixture take turns.")
    eval_path: str | None = Field(default=None, min_length=1, description="Evaluation rows, in the same ways.")
    split: str | None = Field(
        default=None, description="Split of a folder or hub data set; by default `train`, or the only one there is."
    )
    eval_split: str | None = Field(default=None, description="Split of the evaluation rows.")
    on_bad_rows: Literal["raise", "skip"] = Field(
        default="raise", description="Whether rows that cannot be used stop the run, or are left out and counted."
    )
    max_rows: int | None = Field(default=None, ge=1, description="Read only this many training rows.")
    max_eval_rows: int | None = Field(default=None, ge=1, description="Read only this many evaluation rows.")

    @model_validator(mode="before")
    @classmethod
    def _path_names_the_mixture(cls, values: Any) -> Any:
        """Makes `path` of a mixture the words for it; it is read set by set."""
        if not isinstance(values, Mapping) or not isinstance(values.get("mix"), list):
            return values
        if values.get("path") is not None:
            raise ValueError("`path` and `mix` exclude each other; move the path into the list")
        return {**values, "path": JOINT.join(MixedSet.model_validate(each).path for each in values["mix"])}

    @property
    def kind(self) -> str:
        """What its rows are to an audit."""
        return self.rows_are

    @property
    def sources(self) -> list[Self]:
        """The sets for training, each as a block of its own; one where nothing is mixed."""
        return [type(self).model_validate(self.of_set(entry)) for entry in self.mix or ()] or [self]

    @property
    def held_out(self) -> Self | None:
        """The rows for evaluation, as a block of their own."""
        return self._beside(self.eval_path, self.eval_split, self.max_eval_rows)

    @property
    def probe(self) -> Self | None:
        """The labelled rows that a run is measured on, as a block of their own."""
        return self._beside(getattr(self, "probe_path", None))

    def _beside(self, path: str | None, split: str | None = None, max_rows: int | None = None) -> Self | None:
        if path is None:
            return None
        place = {"path": path, "split": split, "max_rows": max_rows, "mix": None}
        return self.model_copy(update=place | ({"labels": "given"} if hasattr(self, "labels") else {}))

    def of_set(self, entry: MixedSet) -> dict[str, Any]:
        """Returns the keys of one set of a mixture: its own, and those beside `mix`."""
        common = {name: getattr(self, name) for name in self.model_fields_set if name not in OF_THE_MIXTURE}
        own = {name: getattr(entry, name) for name in entry.model_fields_set if name != "weight"}
        return common | {name: value for name, value in own.items() if value is not None}

    @model_validator(mode="after")
    def _fits_together_with_its_sets(self) -> "DatasetConfig":
        lone = next((name for name in ("stopping_strategy", "mix_seed") if name in self.model_fields_set), None)
        if lone is not None and not any(each.weight for each in self.mix or ()):
            raise ValueError(f"`{lone}` is about the sets of `mix` and their weights, and there are none")
        if self.max_eval_rows is not None and self.eval_path is None:
            raise ValueError("`max_eval_rows` bounds the rows of `eval_path`, and none is given")
        if self.eval_split is not None and self.eval_path is None:
            raise ValueError("`eval_split` is a split of `eval_path`, and none is given; it may be the same as `path`")
        return self


def known_adapter(name: str | None, schemas: Collection[str]) -> str | None:
    """Returns a name that an adapter may have; raises `ValueError` for others."""
    if name is None or name in schemas or ".py:" in name or name in plugins.names(plugins.ADAPTERS):
        return name
    known = " or ".join(map(repr, (*schemas, "./mine.py:function")))
    raise ValueError(f"must be {known}, or the name of an adapter of an installed package")


class RowDatasetConfig(DatasetConfig):
    """The `dataset` block of methods whose rows have columns of fixed names."""

    read: ClassVar[tuple[str, ...]] = ()  # columns that rows may have; none: others are handed on
    schemas: ClassVar[tuple[str, ...]] = ()  # public ones that adapters of ours read
    columns: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description="Columns that have another name in the rows, such as {question: Question}; several become a list, "
        "such as {options: [A, B, C, D]}.",
    )
    adapter: str | None = Field(
        default=None,
        description="What turns rows into ours: a public schema (rrpo of pairs; video_r1_cot of demonstrations; sciq, "
        "arc, in_prompt, openbookqa, mmlu, mmlu_pro, video_r1, mmvu, mathvista, mathverse, mathvision, video_mme, "
        "mvbench, tvbench, mlvu, longvideobench, vsi_bench, video_mmmu, tempcompass, videohallucer of questions), "
        "`./mine.py:function` that makes a row of ours of a row, or the name that an installed package gives one.",
    )

    @property
    def reading(self) -> dict[str, Any]:
        """How its rows are read, in the words of the functions that load them."""
        return {name: getattr(self, name) for name in ("split", "on_bad_rows", "max_rows", "columns", "adapter")}

    @field_validator("adapter")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        return known_adapter(name, cls.schemas)

    @field_validator("columns")
    @classmethod
    def _names_columns(cls, columns: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        for ours, theirs in columns.items():
            if not theirs:
                raise ValueError(f"`{ours}` names no column")
        return columns


class StreamSettings(BaseModel):
    """Whether training rows are read while a model is trained on them."""

    streaming: bool = Field(
        default=False,
        description="Whether training rows are read while training, for files larger than the memory: the first 1,000 "
        "are looked at before, the others are checked and counted as they come, in their order. Needs `max_steps`.",
    )

    @model_validator(mode="after")
    def _streams_one_set(self) -> "StreamSettings":
        if self.streaming and getattr(self, "mix", None):
            raise ValueError("`streaming` reads one set as it goes, and `mix` takes turns among several: remove one")
        return self


class RewardPairDatasetConfig(RowDatasetConfig, StreamSettings):
    """The `dataset` block of methods whose reward models learn from pairs."""

    rows_are = "pairs"
    read = (*OF_PAIRS, "tie", "source", "attribute", "margin")


class MediaSettings(BaseModel):
    """How the images and videos of rows are read."""

    selects: ClassVar[dict[str, tuple[str, ...]]] = {
        **dict.fromkeys(("media_dir", "max_pixels", "frames_dir"), MEDIA),
        **dict.fromkeys(("num_frames", "fps", "video_as"), ("video",)),
    }

    media_dir: str | None = Field(
        default=None,
        description="Folder that paths of images and videos are relative to; by default that of the rows.",
    )
    num_frames: int = Field(
        default=16, ge=1, description="Frames taken of a video, evenly over its time; a shorter one gives all it has."
    )
    fps: float | None = Field(
        default=None, gt=0, description="Frames taken for each second of a video, `num_frames` at most."
    )
    video_as: Literal["auto", "images", "video"] = Field(
        default="auto",
        description="How a model reads the frames of a video: as one `video` by its processor's own path, or as "
        "`images`; `auto` is the first where the processor has such a path.",
    )
    max_pixels: int | None = Field(
        default=None, ge=MIN_PIXELS, description="Images and frames with more pixels are made smaller, in proportion."
    )
    frames_dir: str | None = Field(
        default=None,
        description="Where frames and smaller images are kept for the next run; by default ~/.cache/truealign/frames.",
    )


class ShuffledOptions(BaseModel):
    """Whether options stand where the rows have them."""

    shuffle_options: Literal[False, True, "every_visit", "within_group"] = Field(
        default=False,
        description="Whether each training question shows its options in a random order, drawn once; with "
        "`every_visit` it is drawn anew each time the question is asked, with `within_group` for each completion.",
    )
    seed: int = Field(default=0, description="Seed of the order of the options.")


class Labels(BaseModel):
    """Whether the right answers of training rows are known, and of which others they are."""

    labels: Literal["given", "none"] = Field(
        default="given",
        description="With `none`, training rows have no right answer: a column `answer` is not read, and rewards "
        "compare answers with each other.",
    )
    probe_path: str | None = Field(
        default=None,
        min_length=1,
        description="50 to 200 rows with right answers, never trained on, that are asked at the start, at each "
        "evaluation and at the end of a run, greedily and sampled, with options in an order drawn once.",
    )


OF_QUESTIONS = (
    *("sciq", "arc", "in_prompt", "openbookqa", "mmlu", "mmlu_pro"),
    *("video_r1", "mmvu", "mathvista", "mathverse", "mathvision", "video_mme", "mvbench", "tvbench", "mlvu"),
    *("longvideobench", "vsi_bench", "video_mmmu", "tempcompass", "videohallucer"),
)


class PromptDatasetConfig(RowDatasetConfig, MediaSettings, MadePrompts, ShuffledOptions, Labels):
    """The `dataset` block of methods that read prompts, or make them of other columns."""

    schemas = OF_QUESTIONS  # whose columns a `prompt_template` shows

    @property
    def kind(self) -> str:
        """Prompts, or the questions that a template shows with their options."""
        return "questions" if any("options" in places_of(each) for each in self.wordings) else "prompts"

    @model_validator(mode="after")
    def _can_shuffle(self) -> "PromptDatasetConfig":
        if self.shuffle_options and self.kind != "questions":
            raise ValueError(
                "`shuffle_options` needs a `prompt_template` with {question} and {options}, and rows with these "
                "columns, or `adapter: in_prompt`, which takes options out of a `prompt`"
            )
        if self.shuffle_options in ("every_visit", "within_group") and self.rows_together > 1:
            raise ValueError(
                f"`shuffle_options: {self.shuffle_options}` draws an order for each row, and versions of one are "
                "compared with each other. Set `shuffle_options: true`"
            )
        return self


class PreferenceDatasetConfig(RowDatasetConfig, MediaSettings, StreamSettings):
    """The `dataset` block of methods that learn from pairs of responses."""

    rows_are = "pairs"
    read = (*OF_PAIRS, "chosen_spans", "rejected_spans", "spans_from", "group", *MEDIA)
    schemas = ("rrpo",)


def check_template(template: str) -> str:
    """Checks that a prompt template has both placeholders once; other braces are ordinary text."""
    for placeholder in PLACEHOLDERS:
        if template.count(placeholder) != 1:
            raise ValueError(
                f"the template must contain {placeholder} once, it has it {template.count(placeholder)} times"
            )
    return template


def check_system_prompt(system_prompt: str | None, conversational: bool) -> None:
    """Checks that a system prompt is only given where there are messages."""
    if system_prompt is not None and not conversational:
        raise ValueError(
            "`system_prompt` needs `conversational: true`; in plain text, write it into `prompt_template`"
        )


class MultipleChoiceDatasetConfig(RowDatasetConfig, MediaSettings, ShuffledOptions, Labels):
    """The `dataset` block of methods that ask multiple-choice questions."""

    rows_are = "questions"
    read = ("question", "options", "answer", "id", "group", "contrast_set", *MEDIA)
    schemas = OF_QUESTIONS
    prompt_template: str = Field(
        default=DEFAULT_TEMPLATE, description="The prompt, with {question} and {options} once each."
    )
    system_prompt: str | None = Field(default=None, description="System message before every prompt.")
    conversational: bool = Field(
        default=True, description="Whether prompts are messages for the chat template, or plain text."
    )
    _has_placeholders = field_validator("prompt_template")(check_template)

    @model_validator(mode="after")
    def _system_prompt_has_a_place(self) -> "MultipleChoiceDatasetConfig":
        check_system_prompt(self.system_prompt, self.conversational)
        return self


def check_media(values: Mapping[str, Any]) -> MediaSettings:
    """Checks what a command line says about images and videos."""
    try:
        return MediaSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"`{first['loc'][0]}`: {first['msg']}, got {first['input']!r}.") from error
