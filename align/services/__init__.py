"""What commands do, to be called from Python; `align.cli` parses words and prints what comes back."""

is_whole_process = False  # whether this process runs one command and ends
