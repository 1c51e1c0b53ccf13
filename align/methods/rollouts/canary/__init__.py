"""Whether vLLM writes with the weights that are trained: its log-probabilities on fixed prompts and the trainer's."""
