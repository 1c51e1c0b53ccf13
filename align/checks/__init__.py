"""What can be found wrong with a recipe before any weights are loaded."""
