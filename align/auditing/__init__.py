"""What a data set would teach that nobody meant: repeated and contradictory rows, leaks, and cues that go with labels.

One pass over the rows feeds all parts; each keeps numbers, not texts.
"""
