"""Rows in every form that TRL's trainers read, and a template that renders them."""

import json

from datasets import Dataset
from tiny import tiny_tokenizer

TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}\n{% endif %}{% if enable_thinking is defined and not enable_thinking %}"
    "/quiet\n{% endif %}{% for m in messages %}{{ m['role'] }}: {% if m['content'] is string %}{{ m['content'] }}"
    "{% elif m['content'] %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endif %}"
    "{% for c in m['tool_calls'] or [] %}<call>{{ c['function'] | tojson }}</call>{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TOOLS = json.dumps([{"type": "function", "function": {"name": "add"}}])
QUIET = {
    "bf16": False,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "max_steps": 2,
    "gradient_checkpointing": False,
    "per_device_train_batch_size": 2,
    "per_device_eval_batch_size": 2,
    "learning_rate": 1e-2,
    "logging_steps": 1,
    "max_length": 500,
    "train_sampling_strategy": "sequential",  # as streams are read
}


def tokenizer():
    made = tiny_tokenizer()
    made.chat_template = TEMPLATE
    return made


def says(role, text):
    return [{"role": role, "content": text}]


def calls(number):
    call = {"function": {"name": "add", "arguments": {"a": number}}}
    return [{"role": "assistant", "tool_calls": [call]}]


def parts(messages):
    return [message | {"content": [{"type": "text", "text": message["content"]}]} for message in messages]


def pairs(prompt, response, **columns):
    """Makes four pairs; a prompt of None is inside both responses."""
    rows = []
    for i in range(4):
        sides = {"chosen": response(i, 61 + i), "rejected": response(i, 75 + i)}
        rows.append(({} if prompt is None else {"prompt": prompt(i)}) | sides | columns)
    return rows


def talk(**columns):
    return pairs(lambda i: says("user", f"q{i}?"), lambda i, n: says("assistant", f"It is {n}."), **columns)


PAIRS = {
    "text": pairs(lambda i: f"q{i}?", lambda i, n: f" It is {n}."),
    "prompt inside texts": pairs(None, lambda i, n: f"q{i}? It is {n}."),
    "messages": talk(),
    "parts": pairs(lambda i: parts(says("user", f"q{i}?")), lambda i, n: parts(says("assistant", f"It is {n}."))),
    "prompt inside parts": pairs(None, lambda i, n: parts(says("user", f"q{i}?") + says("assistant", f"It is {n}."))),
    "switch": talk(chat_template_kwargs={"enable_thinking": False}),
    "tools": talk(tools=TOOLS),
    "tool calls": pairs(lambda i: says("user", f"q{i}?"), lambda i, n: calls(n), tools=TOOLS),
    "tool turns": pairs(
        lambda i: says("user", f"q{i}?"),
        lambda i, n: [*calls(n), {"role": "tool", "content": "9"}, *says("assistant", f"{n}")],
        tools=TOOLS,
    ),
}


def data_set(rows):
    return Dataset.from_list(rows, on_mixed_types="use_json")


def stream(rows):
    return data_set(rows).to_iterable_dataset()
