"""What a run would learn from, measured before it starts: pure functions, and the words and page around them."""
