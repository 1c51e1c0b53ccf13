"""Tools that a policy may call while it answers, and environments whose methods are tools: named, tried, guarded."""
