import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
from looking import NAMES
from scenes import COLOURS, square, write_squares
from scripted_subject import subject

from align.data.media.images import open_image
from align.errors import DataError
from align.evaluation.asking import Asking, Text, model_scores
from align.evaluation.suite import SuiteSource
from align.evaluation.suites.core_advantage.measure import CoreQuestion, core_means, load, measure
from align.models.policies.asking import Decoding

ASKING = Asking(Decoding(), options=SimpleNamespace(content_free="N/A"))
ROWS = [
    CoreQuestion(f"q{i}", f"A bird on water, number {i}?", "waterbird", ("landbird", "a bird"), "wet", i)
    for i in range(40)
]


def numbers(scores, rows=ROWS):
    found = measure(subject(scores=scores), rows, ASKING)
    return {name: metric.estimate().value for name, metric in found.means.items()}


def test_a_constant_prior_and_a_preference_for_length_are_no_core_advantage():
    """The same log-probs behind every prompt: the two margins are equal, whatever they are."""
    prior = {"waterbird": [-1.0, -1.0], "landbird": [-4.0], "a bird": [-6.0]}
    assert numbers(lambda text: prior[text.text])["core_advantage"] == 0
    by_length = numbers(lambda text: [-float(len(text.text))] * 3)
    assert by_length["core_advantage"] == 0
    assert by_length["core_preferred"] == 0.5
    assert by_length["core_margin/question"] == -3  # nine letters, against six of "a bird"


def test_a_model_that_reads_the_question_has_an_advantage_by_hand():
    def scores(text):
        behind_question = text.prompt.startswith("A bird")
        return {"waterbird": [-1.0, -2.0] if behind_question else [-3.0], "landbird": [-2.5], "a bird": [-4.0]}[
            text.text
        ]

    found = numbers(scores)
    assert found["core_margin/question"] == pytest.approx(-1.5 + 2.5)
    assert found["core_margin/content_free"] == pytest.approx(-3 + 2.5)
    assert found["core_advantage"] == pytest.approx(1.5)
    assert found["core_preferred"] == 1


def test_a_model_that_follows_the_spurious_feature_has_a_negative_one():
    found = numbers(lambda text: [-1.0] if (text.text == "landbird") == text.prompt.startswith("A bird") else [-2.0])
    assert found["core_advantage"] == -1
    assert found["core_preferred"] == 0


def test_groups_have_their_own_share():
    means = core_means(np.array([1.0, 1.0, -1.0]), np.zeros(3), ["a", "a", "b"])
    assert means["core_preferred/a"].estimate().value == 1
    assert means["core_preferred/b"].estimate().value == 0


def test_each_text_is_read_once():
    read = []
    measure(subject(scores=lambda text: read.append(text) or [-1.0]), ROWS, ASKING)
    assert len(read) == 3 * (len(ROWS) + 1)  # the content-free prompt once


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "Q?", "core": "iron", "spurious": ["Iron"]}, "a spurious option is the core one"),
        ({"question": "Q?", "core": "iron", "spurious": []}, "fewer than 1 texts"),
        ({"question": " ", "core": "iron", "spurious": "gold"}, "the question is missing or empty"),
        ({"question": "Q?", "core": 3, "spurious": "gold"}, "the option is missing or empty"),
        ({"prompt": "Q?"}, "column `question`"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, row, said):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=said):
        load(SuiteSource(str(path)), SimpleNamespace(**{}))


def scene(i):
    """A square, which is asked for, on a ground of another colour, which is not; the two take turns."""
    core = NAMES[i % 4]
    ground = NAMES[(i + 1 + i // 4 % 3) % 4]
    image = square(core, place=(16, 16))
    pixels = np.asarray(image).copy()
    pixels[(pixels == 128).all(axis=-1)] = COLOURS[ground]
    group = ("Background", "Colorization")[i // 2 % 2]
    image = {"bytes": png(pixels), "path": None}
    return CoreQuestion(f"q{i}", "Which colour has the object?", core, (ground,), group, i, (image,))


def png(pixels):
    from io import BytesIO

    from PIL import Image

    written = BytesIO()
    Image.fromarray(pixels).save(written, "png")
    return written.getvalue()


def follower(feature):
    """Finds the colour in a place of the picture two nats likelier, with noise, and likes red and short words."""

    def scores(text):
        seen = tuple(np.asarray(open_image(text.images[0]))[(28, 28) if feature == "core" else (2, 2)].tolist())
        noise = random.Random(f"{text.id}/{text.text}/{seen}").gauss(0, 0.3)
        return [2.0 * (seen == COLOURS[text.text]) + noise + (text.text == "red") - len(text.text)]

    return scores


def test_of_pictures_the_core_feature_counts_and_not_what_the_text_says_anyway():
    pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
    rows = [scene(i) for i in range(48)]
    found = {name: measure(subject(scores=follower(name)), rows, ASKING).means for name in ("core", "ground")}
    for name, sign in (("core", 1), ("ground", -1)):
        estimate = found[name]["core_advantage"].estimate()
        assert 1.5 < estimate.low * sign < 2.5
        assert 1.5 < estimate.high * sign < 2.5
        assert estimate.low < 2 * sign < estimate.high
        share = found[name]["core_preferred"].estimate()
        assert share.value == (sign > 0)
        assert (share.low > 0.9) if sign > 0 else (share.high < 0.1)
        assert found[name]["core_preferred/Background"].estimate().value == (sign > 0)
    # One that reads the question only has an opinion of it, and no advantage, where "N/A" would have found one.
    blind = measure(subject(scores=lambda text: [len(text.prompt) * len(text.text) / 9]), rows, ASKING).means
    assert not blind["core_advantage"].groups[0].any()
    assert blind["core_preferred"].estimate().value == 0.5


@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])
def test_what_stands_behind_pictures_is_read_as_a_plain_forward_pass_does(family):
    pytest.importorskip("torchvision", reason="needs the extra `vision`")
    import torch
    from tiny import tiny_vl_model_and_processor

    from align.data.questions.templates import PromptTemplate
    from align.models.policies.asking import Prompt
    from align.models.policies.vision_prompts import VisionPrompts

    model, processor = tiny_vl_model_and_processor(seed=1, family=family)
    model.eval()
    prompt = [{"role": "user", "content": "Which?"}]
    shown = [Text(name, prompt, "red", (square(name),)) for name in ("red", "blue")]
    found = model_scores(model, processor)([*shown, Text("no picture", prompt, "red")])
    assert len({tuple(np.round(each, 5)) for each in found}) == 3
    read = VisionPrompts(processor, PromptTemplate())
    answer = processor.tokenizer(["red"], return_tensors="pt")["input_ids"]
    for text, each in zip(shown, found, strict=False):
        fields = dict(read.read([Prompt(text.id, prompt, text.images)]))
        start = fields["input_ids"].shape[1]
        fields["input_ids"] = torch.cat([fields["input_ids"], answer], dim=1)
        fields["attention_mask"] = torch.ones_like(fields["input_ids"])
        for name in [name for name in fields if name.endswith("token_type_ids")]:
            fields[name] = torch.nn.functional.pad(fields[name], (0, answer.shape[1]))
        with torch.no_grad():
            logits = model(**fields).logits[0, start - 1 : -1].log_softmax(-1)
        assert each == pytest.approx(logits.gather(1, answer.T)[:, 0].tolist(), abs=1e-4)


def test_pictures_of_rows_are_found_and_are_part_of_what_rows_are(tmp_path):
    pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
    write_squares(tmp_path / "pictures")
    row = {"question": "Which colour?", "core": "red", "spurious": "blue", "group": "Shape"}
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row | more) + "\n" for more in ({"image": "pictures/00-red.png"}, {})))
    loaded = load(SuiteSource(str(path)), SimpleNamespace(**{}))
    assert loaded.images.startswith("Question ")
    assert [len(each.images) for each in loaded.rows] == [1, 0]
    assert "shown" in loaded.content[0]
    assert not {"shown", "images", "video"} & loaded.content[1].keys()
    measured = measure(subject(scores=lambda text: [-1.0]), loaded.rows, ASKING)
    assert [len(each["images"]) for each in measured.rows] == [1, 0]
    path.write_text(json.dumps(row | {"image": "pictures/none.png"}) + "\n")
    with pytest.raises(DataError, match="image"):
        load(SuiteSource(str(path)), SimpleNamespace(**{}))
