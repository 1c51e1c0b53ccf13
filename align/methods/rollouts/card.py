SETTINGS = ("learning_rate", "num_generations", "beta", "temperature", "loss_type", "scale_rewards", "seed")
