"""ACRE: a policy whose answers follow from its reasoning (arXiv 2510.10104)."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from trl import prepare_multimodal_messages

from align.data.conversations import as_written
from align.data.media.images import image_digest
from align.data.media.rows import listed_images
from align.data.questions.rows import show_anew
from align.errors import DataError
from align.methods.acre.letters import Again, answer_twice, take_letter
from align.methods.acre.outcomes import outcome_metrics, table_columns
from align.methods.acre.rules import BEHIND_TOOLS, TEXTS, check_about, check_answer
from align.methods.acre.second_pass import SecondPassTrainer, Twice
from align.methods.rollouts.asked_rows import RowsTogether
from align.models.second_pass.answer_place import AnswerPlace, answer_place, retokenised_place
from align.models.second_pass.forward import SecondPassRow, score_letters
from align.models.second_pass.image_memo import is_sharded
from align.models.second_pass.vllm import second_answers
from align.models.videos import shown, video_of
from align.training.guarded_rewards import RewardRules
from rewards.reading.options import draw_permutation, permute
from rewards.reading.responses import Response, completion_text, is_taken_apart
from rewards.reading.traces import scrub_letters

Prompt = str | list[dict[str, Any]]


class ACRETrainer(RowsTogether, SecondPassTrainer):
    """GRPO with a second answer from the same trace after the options are shuffled.

    The columns that rewards get are `first_choice` and `second_choices` (indices into the row's `options`);
    `SecondPassTrainer` says what is left as it was. Rows need the columns `prompt`, `question`, `options` (texts) and
    `answer` (index of the right option; with `labels="none"` training rows have none). Where they also have `images`
    or `image`, the policy itself gives the second answers, also with vLLM rollouts.

    Args:
        *args: As in `GRPOTrainer`.
        render_prompt: Renders a question and its options, in the order given, as a prompt; the function that made the
            column `prompt`.
        reward_rules: Gates, limits and audits of the rewards; by default none.
        shuffle_seed: Seed by which a training question shows its options in another order at every visit, the same
            for all its generations; the columns `prompt`, `options` and `answer` are then those shown. With None it
            shows them as they are.
        within_group: Whether each generation is shown an order of its own.
        labels: Whether training rows have their right answer, `given`, or `none`.
        **kwargs: As in `GRPOTrainer`, and `probe`, labelled rows, as in `Probed`.
    """

    def __init__(
        self,
        *args: Any,
        render_prompt: Callable[[str, Sequence[str]], Prompt],
        reward_rules: RewardRules | None = None,
        shuffle_seed: int | None = None,
        within_group: bool = False,
        labels: str = "given",
        **kwargs: Any,
    ) -> None:
        anew = None if shuffle_seed is None else partial(show_anew, render_prompt, shuffle_seed)
        own: dict[str, Any] = {"show_anew": anew, "within_group": within_group}
        super().__init__(*args, reward_rules=reward_rules, labels=labels, **own, **kwargs)
        check_about(self.args, BEHIND_TOOLS, TEXTS)
        self.render_prompt = render_prompt
        self._check_rows()

    def _check_rows(self) -> None:
        row = self._check_data()
        if self.has_images and self.args.second_pass == "vllm":
            raise ValueError("`second_pass: vllm` reads text only, and the rows have images. Set `second_pass: auto`.")
        check_answer(row)
        rendered = self.render_prompt(row["question"], row["options"])
        if as_written(rendered) != as_written(row["prompt"]):
            raise ValueError(
                f"`render_prompt` must give the prompts of the train dataset, else the second pass asks another "
                f"question. It gave {rendered!r}, the first row has {row['prompt']!r}."
            )

    def _check_columns(self, name: str, columns: Sequence[str]) -> None:
        needs = ("prompt", "question", "options", *(() if name == "train" and self.labels == "none" else ("answer",)))
        if missing := [column for column in needs if column not in columns]:
            raise ValueError(
                f"ACRE needs the columns {', '.join(needs)}; the {name} dataset has no {', '.join(missing)} (columns: "
                f"{', '.join(columns)}). `align.data.questions_to_rows` makes them; without right answers, use "
                f"`labels: none`."
            )
        if not self.has_images and {"images", "image"} & set(columns):
            raise DataError(
                f"The {name} dataset has images and the train dataset has none, so that its second answers would "
                "be read as text. Evaluate on images only where training has some."
            )

    def _answer_twice(
        self, inputs: list[dict[str, Any]], completions: list[Any], completion_ids_list: list[Any]
    ) -> Twice:
        completions = [
            self._tokenizer.decode(ids, skip_special_tokens=True) if is_taken_apart(completion) else completion
            for completion, ids in zip(completions, completion_ids_list, strict=True)
        ]
        ask = partial(self._ask_again, inputs, completions, completion_ids_list)
        rows = answer_twice(
            inputs,
            completions,
            None if self.args.second_pass == "off" else ask,
            draw=self._permutations,
            take=self._letters,
            is_needed=self._is_needed,
            response_format=self.response_format,
        )
        return Twice([row.columns() for row in rows], outcome_metrics(rows), [table_columns(row) for row in rows])

    def _ask_again(
        self,
        inputs: list[dict[str, Any]],
        completions: list[Any],
        completion_ids_list: list[Any],
        asked: list[Again],
    ) -> list[list[float]]:
        """Scores the letters of second answers; every rank takes part, also with nothing to ask."""
        with self._second_pass_timed():
            pictures = {i: [*map(image_digest, inputs[i].get("images") or ())] for i in {each.row for each in asked}}
            questions: list[SecondPassRow] = []
            prompts: dict[Any, SecondPassRow] = {}
            for each in asked:
                given = inputs[each.row]
                text = completion_text(completions[each.row])
                place = self._place(completion_ids_list[each.row], text, each.response, given["options"])
                key = (given["question"], *given["options"], each.order, *pictures[each.row])
                if key not in prompts:
                    prompts[key] = self._shuffled_prompt(given, each.order)
                questions.append(prompts[key]._replace(prefix_ids=place.prefix_ids, letter_ids=place.letter_ids))
            return self._score(questions, self._dummy(inputs))

    def _letters(self, given: Mapping[str, Any], index: int, scores: Sequence[Sequence[float]]) -> list[int]:
        mode = "train" if self.model.training else "eval"
        place = f"{self.state.global_step}/{given['question']}/{self.accelerator.process_index}/{index}/{mode}"
        rng = random.Random(f"second answer/{self.args.seed}/{place}")
        return [take_letter(each, self.args.second_answer_temperature, rng) for each in scores]

    def _permutations(self, given: Mapping[str, Any], index: int) -> list[tuple[int, ...]]:
        rng = random.Random(self._seed(given["question"], index))
        return [
            draw_permutation(given["options"], rng, exclude_identity=self.args.exclude_identity)
            for _ in range(self.args.num_shuffles)
        ]

    def _place(self, completion_ids: list[int], text: str, response: Response, options: Sequence[str]) -> AnswerPlace:
        if self.args.scrub_letters and response.trace is not None:
            prefix = text[: response.answer_start].replace(response.trace, scrub_letters(response.trace, options), 1)
            return retokenised_place(self._tokenizer, prefix, len(options))
        return answer_place(self._tokenizer, completion_ids, text, response, len(options))

    def _shuffled_prompt(self, given: dict[str, Any], permutation: Sequence[int]) -> SecondPassRow:
        """Renders and tokenises the shuffled question, with its images; prefix and letters are still to be put in."""
        prompt: Any = self.render_prompt(given["question"], permute(given["options"], permutation))
        images = self._images(given)
        if images:
            prompt = prepare_multimodal_messages(prompt, images=images)
        prompt_ids, _, fields = self._tokenize_prompts([prompt])
        fields = {name: torch.as_tensor(field) for name, field in fields.items()} if images else {}
        return SecondPassRow(list(prompt_ids[0]), [], [], fields)

    def _images(self, given: dict[str, Any]) -> list[Any]:
        return shown(listed_images(given), video_of(given), self.processing_class)

    def _dummy(self, inputs: list[dict[str, Any]]) -> SecondPassRow | None:
        """Makes what a rank with too little to ask reads: a row with images, if its batch has one."""
        if not self.has_images or self.accelerator.num_processes == 1:
            return None
        with_images = [given for given in inputs if self._images(given)]
        if is_sharded(self.model):
            share = self.accelerator.gather(torch.tensor([len(with_images) / len(inputs)], device=self.model.device))
            if share.min() < share.max() or 0 < share.min() < 1:
                raise DataError(
                    "A batch has rows with and rows without images. Under ZeRO-3 and FSDP every rank must run the "
                    "vision tower as often as the others. Give every row an image, or none, or use DDP."
                )
        if not with_images:
            return None
        dummy = self._shuffled_prompt(with_images[0], range(len(with_images[0]["options"])))
        return dummy._replace(prefix_ids=dummy.prompt_ids[-1:])

    def _score(self, questions: list[SecondPassRow], dummy: SecondPassRow | None = None) -> list[list[float]]:
        if not self.has_images and self._asks_engine():
            answers = second_answers(self.vllm_generation, questions)
            if answers.cached_token_share is not None:
                self._pending_metrics["acre/cached_token_share"].append(answers.cached_token_share)
            return answers.found
        return score_letters(
            self.model,
            questions,
            pad_token_id=self._tokenizer.pad_token_id,
            batch_size=self.args.second_pass_batch_size,
            most_batches=self._most_batches,
            dummy=dummy,
        )
