"""What `lab.py` measures: answers and what they owe to the images, captions and what they owe to theirs."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.evaluation.asking import Asker
from align.evaluation.statistics.metrics import Values, option_shuffle_consistency
from align.evaluation.suites.questions.answering import answer_questions, trace_values
from align.evaluation.suites.questions.metrics import correct
from align.evaluation.suites.questions.modality import modality_values, probe_images
from align.methods.rrpo.loss import token_kl
from align.models.policies.asking import Decoding
from align.models.policies.model_policy import make_policy
from scripts.labs.rrpo.measure import Metrics, Texts, probability_of_facts, token_logps
from scripts.labs.rrpo.world import Response
from scripts.labs.vision.model import encode
from scripts.labs.vision.world import CAPTION_QUESTION, COLOURS, SHAPES, Captioned, Picture, draw_pair, draw_scene

NUM_HELD_OUT = 96
LONGEST_RESPONSE = 8


def measure_answers(model: Any, processor: Any, questions: Sequence[Question], template: PromptTemplate) -> Metrics:
    """Answers greedily, again after a shuffle with the trace fixed, and again with other, blank and no images.

    Returns:
        Means by name over all questions, and over each group as `name/group`; nan where a metric says nothing.
    """
    asker = Asker(make_policy(model, processor, template, batch_size=128))
    decoding = Decoding(max_new_tokens=LONGEST_RESPONSE)
    model.eval()
    items = answer_questions(asker, questions, decoding, num_shuffles=1)[0]
    probed = modality_values(items, probe_images(asker, questions, items, decoding, seed=0))
    first, second = [item.first_choice for item in items], [item.second_choices for item in items]
    values = {
        "accuracy": correct(items),
        "option_shuffle_consistency": option_shuffle_consistency(first, second),
        "share_A": np.array([np.nan if choice is None else float(choice == 0) for choice in first]),
        **trace_values(items),
        **{name: mean.groups[0] for name, mean in probed.items()},
    }
    groups = np.array([item.group for item in items])
    metrics = {name: _mean(each) for name, each in values.items()}
    for group in sorted(set(groups)):
        metrics |= {f"{name}/{group}": _mean(each[groups == group]) for name, each in values.items()}
    return metrics


def _mean(values: Values) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")


class Shown(NamedTuple):
    """Captions to score, with what the processor made of their images."""

    texts: Texts
    fields: dict[str, Tensor]


def show(processor: Any, images: Sequence[Picture], captions: Sequence[Response]) -> Shown:
    """Tokenises captions behind their images; all are equally long, and every second token of one is a space."""
    prompts = [([image], CAPTION_QUESTION) for image in images]
    fields = encode(processor, prompts, [caption.text[1:] + "<eos>" for caption in captions])
    ids = fields.pop("input_ids")
    length = 2 * len(captions[0].words)  # with the spaces between them and the end
    response, facts = torch.zeros_like(ids), torch.zeros_like(ids)
    response[:, -length:] = 1
    facts[:, -length::2] = torch.tensor([caption.facts for caption in captions])
    return Shown(Texts(ids, response[:, 1:].bool(), facts[:, 1:]), fields)


@torch.no_grad()
def score(model: Any, shown: Shown) -> Tensor:
    """Returns the log-probs of every next token, `(N, T - 1, V)`."""
    return model(input_ids=shown.texts.ids, **shown.fields, use_cache=False).logits[:, :-1].log_softmax(-1)


def other_look(pair: Captioned, rng: random.Random) -> Picture:
    """Draws a scene of a shape that has another colour and another shape than the pair's."""
    told = pair.chosen.words
    colour, shape = (rng.choice([each for each in names if each not in told]) for names in (list(COLOURS), SHAPES))
    return draw_scene([(colour, shape)], rng)


class CaptionMeter:
    """Measures captions of held-out scenes against those of the policy before training.

    Args:
        model: The policy before training.
        processor: Its processor.
        seed: Of the held-out scenes.
        whole: Whether the implicit reward is that of the whole response, as in DPO, instead of that of the attributes.
    """

    def __init__(self, model: Any, processor: Any, seed: int, *, whole: bool) -> None:
        self.whole = whole
        self.odd_id = processor.tokenizer.convert_tokens_to_ids("surely")
        rng = random.Random(f"held out {seed}")
        pairs = [draw_pair(rng, odd=(False, False)) for _ in range(NUM_HELD_OUT)]
        counter = [draw_pair(rng, odd=(False, True)) for _ in range(NUM_HELD_OUT)]
        chosen = [pair.chosen for pair in pairs]
        self.own = show(processor, [pair.image for pair in pairs], chosen)
        self.other = show(processor, [other_look(pair, rng) for pair in pairs], chosen)
        self.reference = score(model, self.own)
        self.groups = {
            group: [
                (each, score(model, each))
                for each in (
                    show(processor, [pair.image for pair in of_group], [getattr(pair, side) for pair in of_group])
                    for side in ("chosen", "rejected")
                )
            ]
            for group, of_group in (("clean", pairs), ("counter", counter))
        }

    def measure(self, model: Any) -> Metrics:
        """Returns P(attribute), what it owes to the image, KL(reference || policy) per caption, and the rest."""
        model.eval()
        texts, log_probs = self.own.texts, score(model, self.own)
        kl, shared = token_kl(log_probs, self.reference), texts.response & (texts.facts == 0)
        right = probability_of_facts(token_logps(log_probs, texts), texts.facts)
        unseen = probability_of_facts(token_logps(score(model, self.other), texts), texts.facts)
        metrics = {
            "p_correct": right,
            "reliance": right - unseen,
            "kl_total": float((kl * texts.response).sum(-1).mean()),
            "kl_shared": float((kl * shared).sum(-1).mean()),
            "odd_words": float((log_probs[..., self.odd_id].exp() * shared).sum(-1).mean()),
        }
        for group, ((chosen, chosen_start), (rejected, rejected_start)) in self.groups.items():
            margins = self._reward(model, chosen, chosen_start) - self._reward(model, rejected, rejected_start)
            metrics[f"reward_accuracy/{group}"] = float((margins > 0).float().mean())
        return metrics

    def _reward(self, model: Any, shown: Shown, start: Tensor) -> Tensor:
        texts = shown.texts
        change = token_logps(score(model, shown), texts) - token_logps(start, texts)
        return (change * (texts.response if self.whole else texts.facts > 0)).sum(-1)
