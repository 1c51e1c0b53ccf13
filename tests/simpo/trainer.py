import torch
from trl import DPOTrainer

from align.training.build import as_dataset, build_config, eval_dataset, peft_config


class SimPOTrainer(DPOTrainer):
    """Only the loss differs from `DPOTrainer`: mean log-probabilities, a margin, and no reference (Eq. 6)."""

    def _compute_loss(self, model, inputs, return_outputs):
        outputs = model(inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        responses = inputs["completion_mask"][:, 1:].bool()
        logps = outputs.logits[:, :-1].log_softmax(-1).gather(-1, inputs["input_ids"][:, 1:, None]).squeeze(-1)
        chosen, rejected = ((logps * responses).sum(-1) / responses.sum(-1)).chunk(2)
        margin = self.beta * (chosen - rejected)
        self._metrics["train" if model.training else "eval"]["simpo/margin"].append(margin.mean().item())
        loss = -torch.nn.functional.logsigmoid(margin - self.args.gamma).mean()
        return (loss, outputs) if return_outputs else loss


def build(recipe, data, rewards):
    return SimPOTrainer(
        model=recipe.model.model_name_or_path,
        args=build_config(recipe),
        train_dataset=as_dataset(data.rows),
        eval_dataset=eval_dataset(data.eval_rows),
        peft_config=peft_config(recipe),
    )
