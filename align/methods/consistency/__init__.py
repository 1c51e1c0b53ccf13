"""The same answer behind a prompt and behind a perturbed one (Modality Interference, arXiv 2505.19616)."""
