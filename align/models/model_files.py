"""The files of a model: what they say of it, and whether they are whole and fit, which loading would find out late."""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from align.errors import UserError
from align.models.at_hand import is_hub_id
from align.models.prompt_tokenizer import PromptTokenizer, is_endless
from align.recipe.fields import Source, assigned
from align.recipe.problems import shown
from align.recipe.recipe import Recipe
from align.recipe.rules import suggestion
from align.whole_files import object_in

TYPES: tuple[Source, ...] = (  # the second in transformers 5.5
    ("transformers", "models/auto/auto_mappings.py"),
    ("transformers", "models/auto/configuration_auto.py"),
)
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZERS = ("tokenizer*", "vocab*", "merges.txt", "*.model", "*.tiktoken", "tekken.json")
# Heads of transformers that write no text, by the end of their classes' names.
OTHER_HEADS = (
    "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", "ForMaskedLM",
    "Model",
)  # fmt: skip
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
JSON_FILES = (
    ADAPTER_CONFIG, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "processor_config.json", "preprocessor_config.json",
)  # fmt: skip
NO_TOKENIZER = (
    "The folder {0} holds no tokenizer. Save that of the model into it: "
    "`AutoTokenizer.from_pretrained(MODEL).save_pretrained({1!r})`."
)
AGAIN = "Copy the model again"
# Where configurations of language models say their sizes, and weights tell them.
WIDTH, LAYERS = ("hidden_size", "n_embd", "d_model"), ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "tok_embeddings.weight",
              "embed_in.weight")  # fmt: skip
OTHER_PARTS = ("visual", "vision", "audio", "encoder", "expert")
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_NO_WEIGHTS = ("training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state*.pth")
MOST_LAYERS = 10_000
TIED = "lm_head"  # whose weights are those of the embedding, and not in the file a second time


class Size(NamedTuple):
    """How large a model is."""

    parameters: int
    of_head: int  # those of them that are an output head of its own
    source: str  # of the numbers


class ModelFiles:
    """A model under its name, a folder or a hub id, and what its files here say; each is read once, when asked for.

    `template` is what a recipe names in place of the model's own chat template, `kwargs` what it hands to one.
    """

    def __init__(self, name: str, template: str | None = None, kwargs: Mapping[str, Any] | None = None) -> None:
        self.name, self._template, self._template_kwargs = name, template, kwargs or {}

    @classmethod
    def of(cls, recipe: Recipe) -> "ModelFiles":
        """The model that a recipe names, with its template."""
        kwargs = getattr(recipe.settings, "chat_template_kwargs", None)
        return cls(recipe.model.model_name_or_path, recipe.model.chat_template_path, kwargs)

    @cached_property
    def is_hub_id(self) -> bool:
        """Whether the name has the form of a hub id."""
        return is_hub_id(self.name)

    @cached_property
    def folder(self) -> Path | None:
        """Its folder, or its snapshot in the hub's cache; None if it is not on this machine."""
        if (folder := Path(self.name)).is_dir():
            if odd := next((path for path in folder.iterdir() if path.is_fifo() or path.is_char_device()), None):
                raise UserError(f"{odd} is a pipe or a device, which would be waited for without end. {AGAIN}.")
            return folder
        if not self.is_hub_id:
            return None
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(self.name, "tokenizer.json")
        return Path(cached).parent if isinstance(cached, str) else None

    @cached_property
    def written_config(self) -> dict[str, Any]:
        """Its config.json; empty if there is none to be read."""
        return object_in(self.folder / "config.json") if self.folder else {}

    @property
    def config(self) -> dict[str, Any]:
        """Its config.json, with what it says of its language model on top."""
        return self.written_config | (self.written_config.get("text_config") or {})

    @cached_property
    def modules(self) -> set[str]:
        """The names of modules that have weights; none where the files cannot be read."""
        from safetensors import SafetensorError

        try:
            files = weight_files(self.folder) if self.folder else ()
            names = [name for file in files for name in read_tensors(file)]
        except (OSError, ValueError, LookupError, SafetensorError):
            return set()
        found = {name.removesuffix(".weight") for name in names if name.endswith(".weight")}
        return found and found | {TIED}

    @cached_property
    def size(self) -> "Size | None":
        """The number of its parameters, counted in the headers of safetensors, or read from its name.

        Example:
            >>> ModelFiles("Qwen/Qwen2.5-7B-Instruct").size
            Size(parameters=7000000000, of_head=0, source='(read from its name)')
        """
        from safetensors import SafetensorError

        try:
            if self.folder and (files := weight_files(self.folder)):
                sizes = {name: prod(shape) for file in files for name, (_, shape) in read_tensors(file).items()}
                return Size(sum(sizes.values()), sizes.get(f"{TIED}.weight", 0), "(counted)")
        except (OSError, ValueError, TypeError, AttributeError, SafetensorError):
            return None  # damaged, which `check_model` says
        name = self.name.rpartition("/")[2].replace("-", " ")
        found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)([BbMm])(?![A-Za-z])", name)
        return found and Size(int(float(found[1]) * (1e9 if found[2] in "Bb" else 1e6)), 0, "(read from its name)")

    def refuse_endless(self) -> None:
        """Refuses a folder of which loading would not come to an end: by a pipe, a template, a number of layers."""
        layers = {name: value for name in LAYERS if isinstance(value := self.config.get(name), int)}
        for name, value in layers.items():
            if not 0 <= value <= MOST_LAYERS:
                raise UserError(
                    f"{self.folder}: `{name}` is {value:,} in config.json; it is 0 to {MOST_LAYERS:,}. {AGAIN}."
                )
        if self.chat_template is not None and is_endless(self.chat_template):
            raise UserError(f"The chat template of {self.name} does not end for one message. Mend its loops.")

    @cached_property
    def chat_template(self) -> str | None:
        """The template of its messages, the recipe's where that names one; None if there is none here."""
        if self._template:
            place = Path(self._template)
            return place.read_text(encoding="utf-8") if place.is_file() else ModelFiles(self._template).chat_template
        if self.folder is None:
            return None
        if (file := self.folder / "chat_template.jinja").is_file():
            return file.read_text(encoding="utf-8")
        template: str | list[dict[str, str]] | None = self._tokenizer_settings.get("chat_template")
        if template is None and (file := self.folder / "chat_template.json").is_file():  # processors had it there
            template = json.loads(file.read_text(encoding="utf-8")).get("chat_template")
        if isinstance(template, list):  # of several, transformers takes this one, and refuses messages without it
            return {named["name"]: named["template"] for named in template}.get("default")
        return template

    @cached_property
    def tokenizer(self) -> PromptTokenizer | None:
        """Its tokenizer with the chat template; None if it is not on this machine."""
        file = self.folder / "tokenizer.json" if self.folder else None
        if file is None or not file.is_file():
            return None
        return PromptTokenizer(file, self._tokenizer_settings, self.chat_template, self._template_kwargs)

    @cached_property
    def _tokenizer_settings(self) -> dict[str, Any]:
        file = self.folder / "tokenizer_config.json" if self.folder else None
        return json.loads(file.read_text(encoding="utf-8")) if file and file.is_file() else {}


def most_parameters(models: Iterable[ModelFiles]) -> int | None:
    """Counts the parameters of the largest of some models; None if one of them cannot be told."""
    sizes = [model.size for model in models]
    return max((each.parameters for each in sizes if each is not None), default=None) if all(sizes) else None


def weight_files(folder: Path) -> list[Path]:
    """Lists the safetensors that transformers loads; others of the same may lie beside, as Mistral's own do."""
    if (whole := folder / WEIGHTS).is_file():
        return [whole]
    if (index := folder / INDEX).is_file():
        shards = sorted(set(dict(read_object(index).get("weight_map") or {}).values()))
        return [folder / shard for shard in shards if (folder / shard).is_file()]
    return sorted(folder.glob("*.safetensors"))


def pickled_weights(source: str) -> str:
    """Says what is wrong with a folder that has pickled weights and no safetensors; nothing of any other."""
    folder = Path(source)
    if not folder.is_dir():
        return ""
    if (folder / ADAPTER_CONFIG).is_file():
        if (folder / ADAPTER_WEIGHTS).is_file():
            return pickled_weights(adapter_base(folder))
        pickled = sorted(folder.glob("adapter_model.*"))
    else:
        pickled = [] if any(folder.glob("*.safetensors")) else _pickled(folder)
    if not pickled:
        return ""
    return (
        f"{source} holds pickled weights only ({', '.join(path.name for path in pickled[:3])}), and reading those can "
        "run any code that is in them. If you trust them, save them once as safetensors: load the model with "
        "`use_safetensors=False` and call `save_pretrained(FOLDER)`."
    )


def _pickled(folder: Path) -> list[Path]:
    return sorted(
        path
        for pattern in _PICKLED
        for path in folder.glob(pattern)
        if not any(path.match(other) for other in _NO_WEIGHTS)
    )


def file_problems(folder: Path, *, runs_code: bool = False, writes_text: bool = False) -> list[str]:
    """Words what is wrong with the files of a model that is on this machine; nothing is loaded.

    `runs_code` says that a class of the folder's own may be used, `writes_text` that a language model's head is
    needed.
    """
    if not (folder / "config.json").is_file():
        if not (folder / ADAPTER_CONFIG).is_file():
            return [f"The folder {folder} holds no model: it has no config.json. Check the path."]
        return [
            f"The folder {folder} holds an adapter, and training starts from a whole model. Merge it into its base "
            "(`merge_and_unload()` of peft), save that with its tokenizer, and name that folder."
        ]
    return damages(folder, runs_code=runs_code, writes_text=writes_text)


def damages(folder: Path, *, runs_code: bool = True, writes_text: bool = False) -> list[str]:
    """Words which files of a model or adapter that is on this machine are not whole, those of its base among them."""
    config, found = folder / "config.json", list[str]()
    if whole := config.is_file():
        found += [
            _config_problem(config, runs_code, writes_text),
            _weights_problem(folder),
            ""
            if any(any(folder.glob(pattern)) for pattern in TOKENIZERS)
            else NO_TOKENIZER.format(folder, str(folder)),
        ]
    found += [_json_problem(folder / name) for name in JSON_FILES if (folder / name).exists()]
    if (folder / ADAPTER_CONFIG).is_file():
        weights = folder / ADAPTER_WEIGHTS
        found += [word_damage(weights)] if weights.is_file() and not _is_whole(weights) else []
        base = Path(adapter_base(folder))
        found += damages(base) if base.parts and base.is_dir() and not (base / ADAPTER_CONFIG).exists() else []
    return [problem for problem in found if problem] or (_fit_problems(folder) if whole else [])


def word_damage(weights: Path) -> str:
    """Words that a file of weights was cut off, or is something else."""
    return f"{weights} is damaged: its length is not what its header says. {AGAIN}."


def _json_problem(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"{path} is not valid JSON: {error}. {AGAIN}."
    needed = "" if path.name != "tokenizer.json" else "model"
    if isinstance(content, dict) and (not needed or needed in content):
        return ""
    return f"{path} must be an object{f' with the key `{needed}`' if needed else ''}; got {shown(content)}. {AGAIN}."


def _config_problem(path: Path, runs_code: bool, writes_text: bool) -> str:
    if problem := _json_problem(path):
        return problem
    config = object_in(path)
    kind = config.get("model_type")
    if not isinstance(kind, str):
        return f"{path} must say the type of the model as `model_type`, such as llama; got {shown(kind)}. {AGAIN}."
    if kind not in _model_types():
        if "auto_map" not in config:
            hint = suggestion(kind, _model_types())
            return f"{path}: transformers, as it is installed, knows no `model_type` {shown(kind)}.{hint}"
        if not runs_code:
            return f"{path}: the model needs code of its own. If you trust it, `trust_remote_code: true` runs it."
    if not writes_text or (runs_code and "auto_map" in config):  # a class of its own may be named as it likes
        return ""
    classes = config.get("architectures")
    name = str(classes[0]) if isinstance(classes, list) and classes else ""
    if name.endswith(OTHER_HEADS) and "LMHead" not in name:
        return (
            f"{path}: the model is a {name}, which has no head that writes text. Name a language model, such as one "
            "whose class ends in ForCausalLM."
        )
    return ""


@cache
def _model_types() -> frozenset[str]:
    try:
        table: Any = assigned(TYPES[0], "CONFIG_MAPPING_NAMES")
    except FileNotFoundError:
        table = assigned(TYPES[1], "CONFIG_MAPPING_NAMES")
    return frozenset(name for name, _ in ast.literal_eval(table.args[0])) | {"gpt-sw3"}


def _weights_problem(folder: Path) -> str:
    if (folder / WEIGHTS).is_file():
        files = [WEIGHTS]
    elif (folder / INDEX).is_file():
        try:
            files = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            return f"{folder / INDEX} names no files of weights ({type(error).__name__}: {error}). {AGAIN}."
        if missing := [name for name in files if not (folder / name).is_file()]:
            return (
                f"{len(missing)} of {len(files)} files of weights that {folder / INDEX} names are missing, such as "
                f"{missing[0]}. {AGAIN}."
            )
    else:
        return f"The folder {folder} holds no weights: neither {WEIGHTS} nor {INDEX}. {AGAIN}."
    damaged = next((name for name in files if not _is_whole(folder / name)), None)
    return word_damage(folder / damaged) if damaged else ""


def _fit_problems(folder: Path) -> list[str]:
    """Words which weights do not fit the configuration, as far as the headers of files that are whole show it."""
    config = object_in(folder / "config.json")
    text = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    sizes = {name: value for name, value in text.items() if type(value) is int}
    if "quantization_config" in config or not sizes:
        return []
    tensors = dict(each for path in folder.glob("model*.safetensors") for each in read_tensors(path).items())
    shapes = {name: shape for name, (_, shape) in tensors.items() if not any(part in name for part in OTHER_PARTS)}
    found = []
    for name in [name for name in shapes if name.endswith(EMBEDDINGS)][:1]:
        by_config = [sizes.get("vocab_size"), next((sizes[key] for key in WIDTH if key in sizes), None)]
        if "embedding_size" in text or "word_embed_proj_dim" in text:
            by_config[1] = None
        if any(size not in (None, own) for size, own in zip(by_config, shapes[name], strict=False)):
            asked = " x ".join("any" if size is None else str(size) for size in by_config)
            found.append(f"the weight {name} is {' x '.join(map(str, shapes[name]))}, and {asked} by config.json")
    for name in [name for name in shapes if name.endswith("up_proj.weight")][:1]:
        if shapes[name] and shapes[name][0] not in sizes.values():
            found.append(f"the weight {name} has {shapes[name][0]} rows, a size that config.json does not name")
    layers = next((sizes[key] for key in LAYERS if key in sizes), None)
    saved = len({match[1] for match in map(LAYER.search, shapes) if match})
    if layers is not None and saved and not 0 <= layers <= saved:
        found.append(f"{saved} layers are in the files of weights, and config.json asks for {layers}")
    remedy = "Put the config.json that was saved with the weights beside them, or save the model again."
    return [f"{folder}: {each}. {remedy}" for each in found]


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON file of a model that is an object."""
    if problem := _json_problem(path):
        raise UserError(problem)
    return object_in(path)


def read_tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Reads type and shape of each tensor of a file; raises `OSError` or `SafetensorError` where it is not whole."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no dict
        return {name: (str(each.get_dtype()), tuple(each.get_shape())) for name, each in slices.items()}


def _is_whole(path: Path) -> bool:
    from safetensors import SafetensorError

    try:
        read_tensors(path)
    except (OSError, SafetensorError):
        return False
    return True


def adapter_base(folder: Path) -> str:
    """Returns the model that an adapter stands on; empty where that cannot be read, which who loads it says."""
    return str(object_in(folder / ADAPTER_CONFIG).get("base_model_name_or_path") or "")
