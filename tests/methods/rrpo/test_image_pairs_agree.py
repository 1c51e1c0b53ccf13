"""What an evaluation reads of pairs with images is what training reads of them."""

import pytest
import torch
from test_rrpo_images import make_rows, make_trainer

from align.data.pairs.preferences import check_pair
from align.evaluation.suites.pairs.evaluation import pair_values
from align.models.pair_terms import pair_terms, tokenize_image_pair


@pytest.mark.by_day("idefics3")
@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])
def test_an_evaluation_says_what_the_trainer_logs(tmp_path, family):
    rows = make_rows(4)
    trainer = make_trainer(tmp_path, family, rows, beta=0.5)
    trainer.train()  # away from the reference
    trainer._metrics["train"].clear()
    trainer.model.train()
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    with torch.no_grad():
        trainer.compute_loss(trainer.model, batch)
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}

    pairs = [check_pair(row, name=str(i)) for i, row in enumerate(rows)]
    tokens = [tokenize_image_pair(trainer.processing_class, pair) for pair in pairs]
    terms = pair_terms(trainer.model.eval(), trainer.ref_model, tokens)
    values = {name: each.mean() for name, each in pair_values(terms).items()}
    assert logged["logps/chosen"] == pytest.approx(sum(each.chosen.logp for each in terms) / 4, abs=1e-3)
    assert logged["rewards/accuracies"] == values["implicit_reward_accuracy/marked"]
    assert logged["rewards/chosen"] == pytest.approx(0.5 * values["logp_change/chosen_marked"], abs=1e-4)
    assert logged["rewards/rejected"] == pytest.approx(0.5 * values["logp_change/rejected_marked"], abs=1e-4)
    assert logged["rrpo/logp_change_shared"] == pytest.approx(values["logp_change/shared"], abs=1e-3)
    assert logged["rrpo/kl_chosen_per_token"] == pytest.approx(values["kl_per_token/chosen"], abs=1e-4)
    assert values["kl_per_token/chosen"] > 0.001
