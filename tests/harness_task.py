"""A task of lm-evaluation-harness whose rows have `q`, `choices` and `gold`."""

TASK = """\
task: tiny_task
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_target: gold
doc_to_choice: choices
metric_list:
  - metric: acc
"""
