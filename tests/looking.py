"""Questions about coloured squares, policies that look at them or do not, and a tiny model that has learnt to."""

import functools

import numpy as np
from scenes import COLOURS, square
from scripted_policies import ScriptedPolicy

from align.data.media.images import open_image
from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate

NAMES = tuple(COLOURS)
TEMPLATE = PromptTemplate("{question}\n{options}")


def colour_question(i: int, images=None, answer: int | None = None, text: str = "Which colour?") -> Question:
    """Asks for the colour of one square; the colours take turns."""
    answer = i % len(NAMES) if answer is None else answer
    shown = (square(NAMES[answer]),) if images is None else tuple(images)
    return Question(f"q{i}", text, NAMES, answer, None, shown, i)


def order_question(i: int) -> Question:
    """Asks which of two squares of different colours comes first."""
    first = i % len(NAMES)
    frames = [square(NAMES[first]), square(NAMES[(first + 1 + i // 4 % 3) % len(NAMES)])]
    return colour_question(i, frames, first, "Which colour comes first?")


def colours_seen(question: Question) -> list[int]:
    """Returns the colour of each image by its pixels, leaving out images that show none."""
    found = []
    for image in question.images:
        pixels = np.asarray(open_image(image)).reshape(-1, 3)
        counts = [int((pixels == colour).all(axis=1).sum()) for colour in COLOURS.values()]
        found += [int(np.argmax(counts))] if max(counts) else []
    return found


class Looker(ScriptedPolicy):
    """Answers the colour that it sees first, and A if it sees none."""

    def think(self, question):
        return "I looked."

    def answer(self, question, order, trace):
        seen = colours_seen(question)
        return list(order).index(seen[0]) if seen else 0


class Collector(Looker):
    """Answers the first option of which it sees the colour, in whichever frame, and A if it sees none."""

    def answer(self, question, order, trace):
        seen = colours_seen(question)
        return list(order).index(min(seen)) if seen else 0


class Reader(ScriptedPolicy):
    """Never looks: the question's text gives the answer away."""

    def think(self, question):
        return "I read the question."

    def answer(self, question, order, trace):
        hinted = next((i for i, name in enumerate(question.options) if name in question.question), 0)
        return list(order).index(hinted)


@functools.cache
def looking_model(width: int = 16):
    """Trains a tiny vision-language model for some seconds to answer the letter of the square's colour."""
    import torch
    from tiny import tiny_vl_model_and_processor

    from align.models.policies.vision_prompts import VisionPrompts

    model, processor = tiny_vl_model_and_processor(width=width)
    questions = [colour_question(i) for i in range(4)]
    prompts = VisionPrompts(processor, TEMPLATE)
    fields = dict(prompts.read([prompts.prompt(each) for each in questions]))
    texts = [f"<think>x</think><answer>{'ABCD'[each.answer]}</answer><eos>" for each in questions]
    answers = processor.tokenizer(texts, return_tensors="pt")["input_ids"]
    prompt_length = fields["input_ids"].shape[1]
    fields["input_ids"] = torch.cat([fields["input_ids"], answers], dim=1)
    fields["attention_mask"] = torch.cat([fields["attention_mask"], torch.ones_like(answers)], dim=1)
    for name in [name for name in fields if name.endswith("token_type_ids")]:
        fields[name] = torch.nn.functional.pad(fields[name], (0, answers.shape[1]))
    labels = fields["input_ids"].clone()
    labels[:, :prompt_length] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.32 / width)
    for _ in range(150):
        loss = model(**fields, labels=labels).loss
        if loss < 0.05:
            return model.eval(), processor
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    raise AssertionError(f"The model did not learn to tell four colours: loss {float(loss):.3f}.")
