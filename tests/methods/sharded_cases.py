"""The trainers that sharded_run.py trains under every launcher, a builder each."""

import random
from functools import partial
from itertools import cycle

from calling import call, calling_tokenizer
from datasets import Dataset, IterableDataset
from pair_recipe import as_messages
from scenes import COLOURS, square
from tiny import tiny_tokenizer, tiny_vl_model_and_processor

from align.data.tables.outcome_rows import Scale
from align.methods.acre.config import ACREConfig
from align.methods.acre.text_trainer import TextACRETrainer
from align.methods.acre.tool_trainer import ToolACRETrainer
from align.methods.acre.trainer import ACRETrainer
from align.methods.crome.config import CromeConfig
from align.methods.crome.trainer import CromeTrainer
from align.methods.deconfound.config import DeconfoundConfig
from align.methods.deconfound.trainer import DeconfoundTrainer
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer
from align.methods.sft.config import SFTConfig
from align.methods.sft.trainer import CountedSFTTrainer
from rewards import AnswerConsistency, render_options, text_accuracy
from rewards.correction import NoCorrection

REWARD_MODELS = ("crome", "crome_stream", "deconfound")
SETTINGS = {
    "max_steps": 2,
    "learning_rate": 1e-2,
    "logging_steps": 1,
    "save_steps": 2,
    "bf16": False,
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
    "model_init_kwargs": {"dtype": "float32"},
}


def render(question, options):
    return f"{question}\n{render_options(options)}\n"


def make_rows():
    rng = random.Random(0)
    rows = []
    for i in range(16):
        options = [str(n) for n in rng.sample(range(10, 99), 4)]
        question = f"q{i}?"
        rows.append({"prompt": render(question, options), "question": question, "options": options, "answer": i % 4})
    return rows


class Uneven:
    """Gives rank 0 answers and rank 1 none, so that only one of them has questions to ask again; both sample first."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        self.generation_config.max_new_tokens = self.args.max_completion_length // (1 + self.accelerator.process_index)
        completion_ids, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        if self.accelerator.process_index == 1:
            return completion_ids, logps
        texts = [f"<think>{i}</think><answer>{'ABCD'[i % 4]}</answer>" for i in range(len(prompt_ids))]
        return [self._tokenizer.encode(text) for text in texts], logps


class UnevenRanks(Uneven, ACRETrainer):
    """With letters."""


class UnevenTexts(Uneven, TextACRETrainer):
    """With texts."""


def make_acre_text(model, folder, peft_config):
    return UnevenTexts(
        model,
        reward_funcs=[AnswerConsistency()],
        args=ACREConfig(
            output_dir=folder,
            num_generations=4,
            max_completion_length=8,
            second_pass_batch_size=2,
            second_answer_tokens=4,
            log_completions=True,
            num_completions_to_print=0,
            **SETTINGS,
        ),
        train_dataset=Dataset.from_list([{"prompt": f"q{i}?", "answer": "A"} for i in range(16)]),
        processing_class=tiny_tokenizer(),
        peft_config=peft_config,
        families=[lambda row, rng: (f"so {row['prompt']}", row["answer"])],
        answer_reward=text_accuracy,
    )


class UnevenTools(ToolACRETrainer):
    """Has rank 0 call a tool, and every second row answer with what it is told, and rank 1 say nothing."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        texts = [self._tokenizer.decode(ids) for ids in prompt_ids]
        answers = [f"<answer>{77 - i % 2}</answer>" for i in range(len(texts))]
        asks = ["\ntool: " not in text for text in texts]
        turns = [call("price", item="pear") if asked else own for asked, own in zip(asks, answers, strict=True)]
        turns = ["nothing" for _ in texts] if self.accelerator.process_index else turns
        return [[*self._tokenizer.encode(turn), self._tokenizer.eos_token_id] for turn in turns], None


def price(item: str) -> int:
    """Looks up a price.

    Args:
        item: What is asked for.
    """
    return 77


def make_acre_tools(model, folder, peft_config):
    messages = [[{"role": "user", "content": f"q{i}?"}] for i in range(16)]
    return UnevenTools(
        model,
        reward_funcs=[AnswerConsistency()],
        args=ACREConfig(
            output_dir=folder,
            num_generations=4,
            max_completion_length=120,
            second_pass_batch_size=2,
            second_answer_tokens=4,
            log_completions=True,
            num_completions_to_print=0,
            **SETTINGS,
        ),
        train_dataset=Dataset.from_list([{"prompt": each, "answer": "77"} for each in messages]),
        processing_class=calling_tokenizer(),
        peft_config=peft_config,
        families=["other_value"],
        answer_reward=text_accuracy,
        tools=[price],
    )


class Told(GuardedGRPOTrainer):
    """Has completions that depend on the place of a row among all of a step, and not on who samples it."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        _, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        first = self.accelerator.process_index * len(prompt_ids)
        return [
            self._tokenizer.encode("It is so." * (1 + i % 3) + str(i)) for i in range(first, first + len(prompt_ids))
        ], logps


def reward_length(completions, **columns):
    return [float(len(text) % 7) for text in completions]


def make_grpo(model, folder, peft_config):
    return Told(
        model,
        reward_funcs=[reward_length],
        args=GRPOConfig(
            output_dir=folder,
            num_generations=4,
            max_completion_length=40,
            skip_without_advantage="off",  # an entropy is logged of every row
            **SETTINGS,
        ),
        train_dataset=Dataset.from_list([{"prompt": f"Is it {'so ' * (i % 3)}{i}?"} for i in range(16)]),
        processing_class=tiny_tokenizer(),
        peft_config=peft_config,
    )


def make_acre(model, folder, peft_config, rows=None, processor=None, render_prompt=render):
    return UnevenRanks(
        model,
        reward_funcs=[AnswerConsistency()],
        args=ACREConfig(
            output_dir=folder,
            num_generations=4,
            max_completion_length=8,
            second_pass_batch_size=2,
            log_completions=True,
            num_completions_to_print=0,
            **SETTINGS,
        ),
        train_dataset=Dataset.from_list(rows or make_rows()),
        processing_class=processor or tiny_tokenizer(),
        peft_config=peft_config,
        render_prompt=render_prompt,
    )


def film(colour):
    """Shows two colours in turn, four frames of a longer video."""
    seen = list(COLOURS)
    frames = [square(seen[(seen.index(colour) + k) % len(seen)]) for k in range(4)]
    return {"images": frames, "video_metadata": {"total_num_frames": 8, "fps": 2.0, "frames_indices": [0, 2, 4, 6]}}


def image(colour):
    return {"images": [square(colour)]}


def make_acre_shown(model, folder, peft_config, show=image):
    def render_message(question, options):
        return [{"role": "user", "content": render(question, options)}]

    rows = make_rows()
    for row, colour in zip(rows, 4 * list(COLOURS), strict=True):
        row |= {"prompt": render_message(row["question"], row["options"])} | show(colour)
    _, processor = tiny_vl_model_and_processor()
    return make_acre(model, folder, peft_config, rows, processor, render_message)


def make_rrpo(model, folder, peft_config, change=None, processor=None, as_data=Dataset.from_list):
    rows = [{"prompt": f"q{i}?", "chosen": f"It is {i}.", "rejected": f"It is {i + 7}, {i}."} for i in range(16)]
    return RRPOTrainer(
        model,
        args=RRPOConfig(output_dir=folder, kl_coef=0.1, **SETTINGS),
        train_dataset=as_data([change(row) for row in rows] if change else rows),
        processing_class=processor or tiny_tokenizer(),
        peft_config=peft_config,
    )


def as_stream(rows):
    """Gives out rows as a file is read, without the last ones, so that the second step begins it anew."""
    return IterableDataset.from_generator(lambda: iter(rows[:12]))


def make_rrpo_shown(model, folder, peft_config, show=image):
    colours = cycle(COLOURS)

    def change(row):
        return as_messages(row) | show(next(colours))

    return make_rrpo(model, folder, peft_config, change, tiny_vl_model_and_processor()[1])


def make_crome(model, folder, peft_config, as_data=Dataset.from_list, **settings):
    rows = [{"prompt": f"q{i}?", "chosen": f"It is {i}.", "rejected": f"It is {i + 7}, {i}."} for i in range(16)]
    ties = [{"tie": i % 3 == 0, "source": ("foreign", "preference")[i % 3 > 0]} for i in range(16)]
    return CromeTrainer(
        model,
        args=CromeConfig(output_dir=folder, tie_coef=0.5, **SETTINGS | settings),
        train_dataset=as_data([row | tie for row, tie in zip(rows, ties, strict=True)]),
        processing_class=tiny_tokenizer(),
        peft_config=peft_config,
    )


def make_deconfound(model, folder, peft_config):
    rng = random.Random(0)
    rows = [
        {
            "prompt": f"q{i}?",
            "text": f"It is {i}.",
            "label": rng.gauss(0, 1),
            "outcome": float(i),
            "confounders": [i % 5],
        }
        for i in range(16)
    ]
    fitted = NoCorrection().fit(range(40), {"age": [number % 5 for number in range(40)]})
    settings = {name: value for name, value in SETTINGS.items() if name != "model_init_kwargs"}
    return DeconfoundTrainer(
        model,
        DeconfoundConfig(output_dir=folder, **settings),
        Dataset.from_list(rows),
        correction=fitted.correction_,
        scale=Scale("clicks", 0.0, 1.0),
        processing_class=tiny_tokenizer(),
        peft_config=peft_config,
        model_kwargs={"dtype": "float32"},
    )


def make_sft(model, folder, peft_config, show=None):
    rows = [{"prompt": f"{i} + {i}? ", "completion": f"It is {2 * i}" + "." * (i % 5 + 1)} for i in range(16)]
    processor = tiny_vl_model_and_processor()[1] if show else tiny_tokenizer()  # ZeRO-3 would split what is made later
    if show:
        roles = {"prompt": "user", "completion": "assistant"}
        for i, row in enumerate(rows):
            row["completion"] = f"It is {10 + i}."  # TRL averages over the tokens of each process: as many in all rows
        rows = [{name: [{"role": roles[name], "content": text}] for name, text in row.items()} for row in rows]
        rows = [row | show(colour) for row, colour in zip(rows, cycle(COLOURS), strict=False)]
    return CountedSFTTrainer(
        model,
        args=SFTConfig(output_dir=folder, max_length=None if show else 64, **SETTINGS),
        train_dataset=Dataset.from_list(rows),
        processing_class=processor,
        peft_config=peft_config,
    )


METHODS = {
    "acre": make_acre,
    "acre_images": make_acre_shown,
    "acre_videos": partial(make_acre_shown, show=film),
    "acre_text": make_acre_text,
    "acre_tools": make_acre_tools,
    "grpo": make_grpo,
    "rrpo": make_rrpo,
    "rrpo_images": make_rrpo_shown,
    "rrpo_videos": partial(make_rrpo_shown, show=film),
    "rrpo_stream": partial(make_rrpo, as_data=as_stream),
    "crome": make_crome,
    "crome_pairwise": partial(make_crome, model_type="pairwise"),
    "crome_stream": partial(make_crome, as_data=as_stream),
    "deconfound": make_deconfound,
    "sft": make_sft,
    "sft_videos": partial(make_sft, show=film),
}
