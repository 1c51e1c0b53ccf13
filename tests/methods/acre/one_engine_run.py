"""One step of ACRE on texts in processes that share one engine; run by test_shared_engine.py."""

import json
import sys
from pathlib import Path

from scripted_text_acre import make_trainer

from align.methods.acre.text_trainer import TextACRETrainer
from align.models.second_pass import vllm
from rewards import AnswerConsistency

written: list[list[list[int]]] = []


class Answered(TextACRETrainer):
    """Samples with vLLM, then takes responses that have an answer."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        super()._generate_single_turn(prompt_ids, *args, **kwargs)
        ids = [self._tokenizer.encode(f"<think>{i}</think><answer>Ann</answer>") for i in range(len(prompt_ids))]
        return ids, [[0.0] * len(each) for each in ids]


def main(folder: Path) -> None:
    """Trains, and notes what this process's part of the engine wrote for the rows of all processes."""
    write_by_engine = vllm.write_by_engine

    def noted(*args, **settings):
        tokens, share = write_by_engine(*args, **settings)
        written.append(tokens)
        return tokens, share

    vllm.write_by_engine = noted
    trainer = make_trainer(
        folder / "run", [AnswerConsistency()], trainer=Answered, model=str(folder), max_steps=1,
        per_device_train_batch_size=4, use_vllm=True, vllm_tensor_parallel_size=2, vllm_max_model_length=512,
        vllm_importance_sampling_correction=False, model_init_kwargs={"dtype": "float32"}, second_answer_tokens=8,
        second_answer_temperature=1.0,
    )  # fmt: skip
    trainer.train()
    (folder / f"written-{trainer.accelerator.process_index}.json").write_text(json.dumps(written))
    trainer.vllm_generation.llm.llm_engine.engine_core.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
