"""How rewards are called: the contract, the guard, the workers."""
