"""Programs that nobody has read, run where they can harm nothing."""
