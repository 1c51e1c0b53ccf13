"""Folders of models, each with one damage that a copy, an edit or an attacker leaves."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

WEIGHTS, ADAPTER = "model.safetensors", "adapter_model.safetensors"
ATTACK = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
TEMPLATES = {"attacks": ATTACK, "broken": "{% if", "refuses": "{{ raise_exception('no') }}", "divides": "{{ 1 / 0 }}"}
TEMPLATES |= {"of_nothing": "{{ a.b.c }}", "is_empty": ""}
CONFIGS: dict[str, dict[str, Any]] = {
    "wider": {"hidden_size": 128, "head_dim": 32},
    "narrow": {"intermediate_size": 64},
    "other_vocabulary": {"vocab_size": 50},
    "more_layers": {"num_hidden_layers": 3},
    "fewer_layers": {"num_hidden_layers": 1},
    "other_type": {"model_type": "gpt2"},
    "unknown_type": {"model_type": "lama"},
    "number_as_type": {"model_type": 1},
    "words_for_numbers": {"hidden_size": "wide"},
    "no_heads": {"num_attention_heads": 0, "head_dim": None},
    "negative": {"num_hidden_layers": -1},
    "odd_rope": {"rope_parameters": {"rope_type": "spiral", "rope_theta": 1.0}},
    "odd_activation": {"hidden_act": "sillu"},
    "odd_dtype": {"dtype": "float33"},
    "no_padding": {"pad_token_id": 5_000},
}


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: _put(folder / name, content)


def _put(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def _cut(name: str, size: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        if (folder / name).exists():
            _put(folder / name, (folder / name).read_bytes()[:size])

    return damage


def _set(name: str, **changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        if (folder / name).exists():
            _put(folder / name, json.dumps(json.loads((folder / name).read_text()) | changes).encode())

    return damage


def _remove(*names: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return damage


def _make_folder(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return damage


def _header(header: Any, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def _index(content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        _remove(WEIGHTS)(folder)
        _put(folder / f"{WEIGHTS}.index.json", content)

    return damage


def _loop(folder: Path) -> None:
    _remove("config.json")(folder)
    (folder / "config.json").symlink_to("config.json")


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        each.unlink()


CUT = (("weights", WEIGHTS), ("config", "config.json"), ("tokenizer", "tokenizer.json"), ("adapter", ADAPTER))
SAID = ("config", "tokenizer", "tokenizer_config", "generation_config", "special_tokens_map")
WRITTEN = (("list", b"[]"), ("object", b"{}"), ("null", b"null"), ("bytes", b"\xff\xfe\0"), ("deep", b"[" * 5_000))
ELSEWHERE = b'{"peft_type": "LORA", "base_model_name_or_path": "./nowhere"}'
DAMAGES: dict[str, Callable[[Path], None]] = {
    "whole": lambda folder: None,
    "empty_folder": _empty,
    "no_weights": _remove(WEIGHTS, ADAPTER),
    "random_weights": _write(WEIGHTS, bytes(range(256)) * 4),
    "long_header": _write(WEIGHTS, _header({}, 2**62)),
    "list_for_header": _write(WEIGHTS, _header([])),
    "no_tensors": _write(WEIGHTS, _header({})),
    "weights_folder": _make_folder(WEIGHTS),
    "index_of_nothing": _index(b"[]"),
    "index_of_missing": _index(b'{"metadata": {}, "weight_map": {"a": "x.safetensors"}}'),
    "no_tokenizer": _remove("tokenizer.json", "tokenizer_config.json"),
    "no_tokenizer_json": _remove("tokenizer.json"),
    "no_config": _remove("config.json"),
    "loop": _loop,
    "config_folder": _make_folder("config.json"),
    **{f"cut_{name}_{size}": _cut(file, size) for name, file in CUT for size in (0, 5, 100, 1_000)},
    **{f"{name}_{word}": _write(f"{name}.json", text) for name in SAID for word, text in WRITTEN},
    **{name: _set("config.json", **changes) for name, changes in CONFIGS.items()},
    **{f"template_{name}": _write("chat_template.jinja", text.encode()) for name, text in TEMPLATES.items()},
    "template_number": _set("tokenizer_config.json", chat_template=1),
    "odd_tokenizer_class": _set("tokenizer_config.json", tokenizer_class="NoTokenizer"),
    "number_for_token": _set("tokenizer_config.json", eos_token=1),
    "no_tokens": _set("tokenizer_config.json", eos_token=None, pad_token=None),
    "adapter_list": _write("adapter_config.json", b"[]"),
    "adapter_object": _write("adapter_config.json", b"{}"),
    "adapter_elsewhere": _write("adapter_config.json", ELSEWHERE),
    "odd_adapter": _set("adapter_config.json", peft_type="LORRA"),
    "wide_adapter": _set("adapter_config.json", r=64),
}


def damage(whole: Path, folder: Path, name: str) -> Path:
    """Copies a model and damages the copy."""
    shutil.copytree(whole, folder)
    DAMAGES[name](folder)
    return folder
