"""What no lab speaks for: off by default, with no promise, and unknown to the trainers that others build on."""
