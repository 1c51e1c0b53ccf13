"""Policies of the shop, whose prices only its tool, or an environment of its own in every row, knows."""

from pathlib import Path

import torch
from some_recipes import PROMPTS
from transformers import AutoModelForCausalLM, AutoTokenizer

from align.assets import asset_dir
from align.data.prompt_rows import load_prompts, prompts_to_rows
from align.data.questions.templates import PromptTemplate
from align.models.policies.model_policy import ModelPolicy
from align.models.transcripts.toolbox import Toolbox
from align.models.transcripts.transcript import Asked
from align.tools.guarded import Limits
from align.tools.named import Spec

SHOP = asset_dir("recipes") / PROMPTS / "assets" / "shop"
TOOLS = {"tools": ["price"], "environment_factory": None}
ENVIRONMENT = {"tools": None, "environment_factory": "Shop"}


def shop_toolbox(named: dict, folder: Path = SHOP, file: str = "shop.py", seconds: float = 5.0) -> Toolbox:
    """Guards the tools that are named, or the environment."""
    tools = [Spec(f"{file}:{name}", folder) for name in named["tools"] or ()]
    name = named["environment_factory"]
    return Toolbox.of_specs(tools, {None: Spec(f"{file}:{name}", folder)} if name else {}, Limits(seconds))


def shop_rows(samples: int = 1, number: int = 8) -> list[Asked]:
    """Returns prompts of the shop, each as often as it has samples."""
    rows = prompts_to_rows(load_prompts(SHOP / "train.jsonl")[0][:number])
    return [Asked(row, f"0/{row['id']}/{sample}") for row in rows for sample in range(samples)]


def shop_policy(model: Path = SHOP / "model", batch_size: int = 32) -> ModelPolicy:
    """Loads a policy."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    return ModelPolicy(AutoModelForCausalLM.from_pretrained(model), tokenizer, PromptTemplate(), batch_size=batch_size)


def save_eager_policy(folder: Path) -> Path:
    """Saves a policy that is likelier to call its tool than to guess, as the embedded one is not."""
    policy = shop_policy()
    asked = policy.tokenizer.apply_chat_template(
        shop_rows(number=1)[0].row["prompt"], add_generation_prompt=True, return_dict=False
    )
    with torch.no_grad():
        state = policy.model.model(torch.tensor([asked])).last_hidden_state[0, -1]
        token = policy.tokenizer.convert_tokens_to_ids("<tool_call>")
        policy.model.lm_head.weight[token] += 1.5 * state / (state @ state)
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder
