import gc
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.models.checkpoint import Checkpoint, load_model, load_processor, load_tokenizer
from align.models.cpu_attention import why_no_attention
from align.models.finite import refuse_spoiled, stored_weights
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Completion, Decoding, LetterQuestion, Prompt
from align.models.policies.model_policy import reads_images
from align.models.policies.token_policy import TokenPrompts, cut_behind, end_tokens
from align.models.policies.vision_prompts import EnginePrompts
from align.models.pretrained import refuse_pickled_weights
from align.models.vllm_engine import cpu_engine_environment, require_vllm


class VLLMPolicy:
    """Answers with vLLM, of images too if it has a processor; sampled responses have a seed of their own each."""

    chunk_size = 256  # the engine makes its own batches; a chunk is what is kept at once

    def __init__(self, llm: Any, processing: Any, template: PromptTemplate, *, fingerprint: str, dtype: str) -> None:
        self.llm = llm
        has_images = reads_images(processing)
        self.tokenizer = processing.tokenizer if has_images else processing
        self.fingerprint = digest([fingerprint, "vllm", dtype, repr(template), *["images"] * has_images])
        if has_images:
            self.chunk_size = 32  # whose images are open at once
        self._prompts = EnginePrompts(processing, template) if has_images else TokenPrompts(processing, template)

    def show_prompt(self, question: Question) -> str:
        """Returns the prompt as text, chat template included."""
        return self._prompts.show(question)

    def generate(self, questions: Sequence[Question], decoding: Decoding) -> list[list[Completion]]:
        """Answers questions, their options in their own order; see `complete`."""
        return self.complete([self._prompts.prompt(question) for question in questions], decoding)

    def complete(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[list[Completion]]:
        """Decodes all prompts in one call; responses come without the end token."""
        from vllm import SamplingParams

        encoded: list[Any] = [
            {"prompt_token_ids": ids} | self._prompts.media(prompt)
            for ids, prompt in zip(self._prompts.encode_prompts(prompts), prompts, strict=True)
        ]
        params = [
            SamplingParams(n=decoding.num_samples, stop=[each.stop] if each.stop else None, **_how(decoding, each.id))
            for each in prompts
        ]
        outputs = self.llm.generate(encoded, sampling_params=params, use_tqdm=False)
        return [
            [self._completion(each, prompt.stop) for each in output.outputs]
            for output, prompt in zip(outputs, prompts, strict=True)
        ]

    @property
    def ends(self) -> list[int]:
        """The tokens that end a response."""
        return end_tokens(self.tokenizer, None)

    @property
    def window(self) -> int:
        """The longest sequence that the engine takes."""
        return int(self.llm.llm_engine.model_config.max_model_len)

    def drawing(self, seed: int) -> AbstractContextManager[None]:
        """Does nothing: each response has a seed of its own."""
        return nullcontext()

    def go_on(self, ids: Sequence[Sequence[int]], decoding: Decoding, names: Sequence[str]) -> list[list[int]]:
        """Writes once behind each sequence, in one call; returns new tokens, with the end token if there is one."""
        from vllm import SamplingParams

        params = [SamplingParams(**_how(decoding, name)) for name in names]
        prompts = [{"prompt_token_ids": list(each)} for each in ids]
        outputs = self.llm.generate(prompts, sampling_params=params, use_tqdm=False)
        return [list(each.outputs[0].token_ids) for each in outputs]

    def score_letters(self, rows: Sequence[LetterQuestion]) -> list[list[float]]:
        """Scores the live letters of each row in a call for one token."""
        from align.models.second_pass.vllm import ask_engine

        return ask_engine(self.llm, self._prompts.second_pass(rows))[0]

    def _completion(self, output: Any, stop: str) -> Completion:
        ids = list(output.token_ids)
        if output.finish_reason == "stop" and not isinstance(output.stop_reason, str):
            ids = ids[:-1]  # the end token; behind a text to stop at there is none
        return Completion(cut_behind(self.tokenizer.decode(ids, skip_special_tokens=True), stop), tuple(ids))


def _how(decoding: Decoding, name: str) -> dict[str, Any]:
    return {
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_tokens": decoding.max_new_tokens,
        "seed": int(digest([decoding.seed, name])[:8], 16),
    } | decoding.cuts


@contextmanager
def vllm_policy(
    checkpoint: Checkpoint, template: PromptTemplate, *, dtype: str, images: bool = False, **settings: Any
) -> Iterator[VLLMPolicy]:
    """Starts an engine for a checkpoint, an adapter merged into its base before, and stops it at the end."""
    try:
        require_vllm()
    except ImportError as error:
        raise UserError(str(error).replace("`use_vllm: true`", "`--backend vllm`")) from error
    from vllm import LLM

    refuse_pickled_weights(checkpoint.path)
    with tempfile.TemporaryDirectory() as merged:
        source = checkpoint.path if checkpoint.base is None else _merge(checkpoint, dtype, images, Path(merged))
        refuse_spoiled(checkpoint.path, stored_weights(source))
        settings = {"model": source, "dtype": dtype} | _engine_settings(checkpoint, source) | settings
        try:
            llm = LLM(**settings)
        except (ValueError, RuntimeError, OSError) as error:
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"vLLM cannot start with {checkpoint.path}: {reason} Use `--backend transformers` to do without it."
            ) from error
    processing = load_processor(checkpoint) if images else load_tokenizer(checkpoint)
    try:
        yield VLLMPolicy(llm, processing, template, fingerprint=checkpoint.fingerprint, dtype=dtype)
    finally:
        llm.llm_engine.engine_core.shutdown()
        del llm
        gc.collect()


def _engine_settings(checkpoint: Checkpoint, source: str) -> dict[str, Any]:
    """Returns what an evaluation needs: no sampling defaults of the checkpoint, log-probs of the letters allowed.

    Refuses on a CPU what vLLM cannot compute there.
    """
    from transformers import AutoConfig
    from vllm.platforms import current_platform

    settings = {"generation_config": "vllm", "load_format": "safetensors", "logprobs_mode": "processed_logprobs"}
    if not current_platform.is_cpu():
        return settings
    if problem := why_no_attention(AutoConfig.from_pretrained(source).get_text_config().to_dict()):
        raise UserError(f"`--backend vllm` with {checkpoint.path}: {problem} Use `--backend transformers`.")
    cpu_engine_environment()
    return settings | {"enforce_eager": True, "block_size": 32}  # as in `align.models.vllm_engine`


def _merge(checkpoint: Checkpoint, dtype: str, images: bool, folder: Path) -> str:
    model, processing = load_model(checkpoint, dtype=dtype, device="cpu", images=images)
    model.merge_and_unload().save_pretrained(folder)
    processing.save_pretrained(folder)
    return str(folder)
