"""Command lines of every command: damaged models, damaged or odd data, odd numbers, and words that are none."""

import json
import random
from pathlib import Path
from typing import Any

from damaged_models import DAMAGES, damage
from file_mutations import draw_file
from good_rows import KINDS
from some_recipes import METHOD_OF_PAIRS_DATA, OUTCOMES_COMMAND, PROMPTS

NUMBERS = ("0", "1", "-1", "2", "99999999999999999999", "1e400", "nan", "inf", "-0.5", "0.5", "x", "0x10", "1_0", "٣")
PATHS = ("/", ".", "..", "~", "nowhere", "nowhere/at/all", "a\x01b", "x" * 300, "owner/name:subset", "http://x/y")
PATHS += ("scripted", "empty", "/dev/null", "rows.jsonl.gz", "-", "--", "loop")
OPTIONS = ("--max_rows", "--seed", "--batch_size", "--max_new_tokens", "--num_samples", "--temperature", "--top_p")
OPTIONS += ("--num_shuffles", "--max_length", "--tau", "--num_frames", "--fps")
ODD = ("--dtype", "--device", "--split", "--adapter", "--on_bad_rows", "--suite", "--recipe", "--prompt_template")
SHORT = ("--max_new_tokens", "2", "--max_rows", "2")
# {m} a policy, {r} a reward model, {a} an adapter, {g} a whole model, {w} one that calls tools, {o} a new path, data:
# {q} {p} {t} {y} {s}, {c} prompts for tools, {k} {l} tables of scores.
LINES = (
    "eval --model {m} --data {q} --suite accuracy --out {o}",
    "eval --model {g} --baseline {m} --data {q} --suite accuracy --out {o}",
    "eval --model {a} --data {q} --suite accuracy --out {o}",
    "eval --model {m} --data {t} --rewards format --out {o}",
    "eval --reward_model {r} --data {p} --out {o}",
    "eval questions --model {m} --data {q} --suite accuracy --out {o}",
    "eval pairs --model {m} --reference {g} --data {p} --out {o}",
    "eval reward-model --reward_model {r} --data {p} --out {o}",
    "merge --base {g} --tuned {m} --out {o}",
    "merge --base {m} --tuned {g} --out {o}",
    "merge --base {g} --tuned {a} --out {o}",
    "filter {p} --base {r} --out {o}.jsonl",
    "filter {t} --model {m} --verifier format --num_samples 2 --out {o}.jsonl",
    "filter {t} --model {g} --verifier {r} --num_samples 2 --out {o}.jsonl",
    "audit {p} --out {o}",
    "audit {s} --out {o}",
    f"augment {{t}} --method {METHOD_OF_PAIRS_DATA} --model {{m}} --out {{o}}",
    f"{OUTCOMES_COMMAND} {{y}} --outcome y --confounders c --text t --out {{o}} --estimator dml",
    "check recipe.yaml --model_name_or_path {m}",
    "check recipe.yaml --model_name_or_path {g} --reward_funcs [{r}]",
    "check recipe.yaml --dataset.path {q}",
    "rewards check {r}",
    "report {o}",
    "report {m}",
    "eval tools --model {w} --data {c} --tools {shop}:price --rewards number_accuracy --out {o}",
    "eval tool-reliance --model {w} --data {c} --recipe tools.yaml --out {o}",
    "eval perturbation --model {m} --data {q} --families order name --out {o}",
    "eval faithfulness --model {m} --data {q} --out {o}",
    "eval core-advantage --model {m} --data {q} --out {o}",
    "eval drift --model {m} --reference {g} --out {o}",
    "eval prompts --model {m} --data {t} --rewards format --samples_out {o}.jsonl --out {o}",
    "compare {k} {l} --out {o}",
    "compare first={k} second={l} --scores right --match id --out {o} --fail_on right<0",
    "rewards attack number_accuracy --data {c} --limit 2",
    "rewards attack tools.yaml --dataset.path {c} --limit 2",
    "rewards attack {r} --data {t} --limit 1",
    "rewards check format",
    "rehearse tools.yaml --model_name_or_path {w} --dataset.path {c} --num_prompts 2 --out {o}",
    "rehearse pairs.yaml --model_name_or_path {g} --dataset.path {p} --num_prompts 1 --out {o}",
    "filter {c} --model {w} --recipe tools.yaml --verifier number_accuracy --pass_rate 0.1:0.9 --out {o}.jsonl",
    "train tools.yaml --model_name_or_path {w} --dataset.path {c} --output_dir {o}",
    "train pairs.yaml --model_name_or_path {g} --dataset.path {p} --output_dir {o}",
)
DATA = {"q": "questions", "p": "pairs", "t": "prompts", "s": "prompts", "y": "observations"}
DATA |= {"c": "tasks", "k": "scores", "l": "others"}
SHOP = Path(__file__).parents[2] / "recipes" / PROMPTS / "assets" / "shop"
TABLE = [{"id": i, "question": f"Why {i}?", "right": i % 2, "subject": "a"} for i in range(8)]
ROWS = {name: kind.rows for name, kind in KINDS.items()} | {
    "tasks": [json.loads(line) for line in (SHOP / "eval.jsonl").read_text().splitlines()[:4]],
    "scores": TABLE,
    "others": [row | {"right": 1} for row in TABLE],
}


class Places:
    """A folder with whole models and good data, of which lines are drawn.

    Args:
        folder: An empty one, in which the commands run.
        models: Whole ones: `m` a policy, `r` a reward model, `a` an adapter, `g` another policy, `w` of the shop.
    """

    def __init__(self, folder: Path, models: dict[str, Path]) -> None:
        self.folder, self._models = folder, models
        (folder / "scripted").mkdir()
        (folder / "scripted" / "scripted.py").write_text("raise SystemExit(3)\n")
        (folder / "empty").mkdir()
        (folder / "loop").symlink_to("loop")
        for kind, rows in {name: ROWS[name] for name in set(DATA.values())}.items():
            (folder / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def draw(self, rng: random.Random) -> list[str]:
        """Draws one line; most have one thing odd, and some have two."""
        line = rng.choice(LINES)
        odd = set(rng.sample(("model", "data", "number", "word"), rng.choice((1, 1, 1, 2))))
        words = [self._fill(word, odd, rng) for word in line.split()]
        if line.startswith(("eval", "filter")):
            words += SHORT
        if "number" in odd:
            words += [rng.choice(OPTIONS), rng.choice(NUMBERS)]
        if "word" in odd:
            words += [rng.choice(ODD), rng.choice(PATHS)]
        return words

    def _fill(self, word: str, odd: set[str], rng: random.Random) -> str:
        word = word.replace("{shop}", str(SHOP / "shop.py"))
        for key in (*self._models, *DATA, "o"):
            hole = f"{{{key}}}"
            if hole not in word:
                continue
            if key in self._models:
                return word.replace(hole, self._model(key, odd, rng))
            return word.replace(hole, "out" if key == "o" else self._data(DATA[key], odd, rng))
        return word

    def _model(self, key: str, odd: set[str], rng: random.Random) -> str:
        if "model" not in odd or key == "g":
            return str(self._models[key])
        if rng.random() < 0.1:
            return rng.choice(PATHS)
        folder = self.folder / f"damaged-{key}"
        return str(damage(self._models[key], folder, rng.choice(sorted(DAMAGES))))

    def _data(self, kind: str, odd: set[str], rng: random.Random) -> str:
        if "data" not in odd:
            return f"{kind}.jsonl"
        if rng.random() < 0.3:
            return rng.choice(PATHS)
        suffix, content = draw_file(rng, ROWS[kind])
        (self.folder / f"rows.{suffix}").write_bytes(content)
        return f"rows.{suffix}"


def recipe(method: str, **keys: Any) -> str:
    """Writes a recipe of one step without anything that a command line names."""
    return json.dumps({"method": method, "output_dir": "out", "max_steps": 1, "bf16": False, "use_cpu": True} | keys)
