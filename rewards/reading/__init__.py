"""What is read in responses: tags, options, numbers, formulas, names."""
