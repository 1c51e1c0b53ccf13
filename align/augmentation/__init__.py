"""Makes training data with a model: perturbed input, sampled responses, pairs with a history."""
