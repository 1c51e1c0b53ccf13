"""An oracle for `ChatServer` whose replies follow from the prompt, so that a run can be told row by row."""

import json
import re

STEPS = {
    "rubric": "attributes decide how good an answer",
    "elements": "things in an answer to this question raise or lower",
    "check": "Check the work.",
    "paraphrase": "Say the answer in other words.",
    "differences": "How do the two answers differ",
    "align": "Write the worse answer again",
    "edit": "Write the answer again",
}
WEIGHTS = (0.3, 0.25, 0.2, 0.15, 0.1)


def text_of(body):
    """The first message: what is asked, before any retry."""
    return body["messages"][0]["content"]


def step_of(body):
    return next(step for step, words in STEPS.items() if words in text_of(body))


def part(text, tag):
    return re.search(rf"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL)[1].strip()


def oracle_reply(body, before=0):
    """Replies as a diligent oracle would."""
    text, step = text_of(body), step_of(body)
    if step == "rubric":
        attributes = [{"name": f"point {i}", "description": "It counts.", "weight": w} for i, w in enumerate(WEIGHTS)]
        return json.dumps({"attributes": attributes})
    if step == "elements":
        return json.dumps({"elements": [{"element": f"thing {i}", "direction": "increases"} for i in range(5)]})
    if step == "check":
        return json.dumps({"reason": "It is.", "verdict": "pass"})
    if step == "differences":
        return json.dumps({"differences": [{"attribute": "point 0", "difference": "One has it."}]})
    if step == "align":
        return json.dumps({"response": part(text, "worse_answer") + " Now as good."})
    if step == "paraphrase":
        return json.dumps({"response": "Put otherwise: " + part(text, "answer")})
    way = "more" if "better in this attribute" in text else "less"
    return json.dumps({"plan": "Change it.", "response": f"{part(text, 'answer')} [{way} {part(text, 'attribute')}]"})


def write_preferences(path, count=6):
    rows = [
        {"id": f"r{i}", "prompt": f"Question {i}?", "chosen": f"Good answer {i}.", "rejected": f"Bad answer {i}."}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
