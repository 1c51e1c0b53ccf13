from align.evaluation.statistics.glossary import Meaning
from align.report.evaluation.measured import MetricWords


def test_words_of_a_family_end_in_what_is_after_it():
    labels = {"best_of_": "Best of", "accuracy/": "Accuracy", "accuracy": "All"}
    words = MetricWords({name: Meaning(label, "", None) for name, label in labels.items()})
    assert [words.label(name) for name in ("best_of_4", "accuracy/hard", "accuracy", "ppl")] == [
        "Best of: 4", "Accuracy: hard", "All", "ppl",
    ]  # fmt: skip
