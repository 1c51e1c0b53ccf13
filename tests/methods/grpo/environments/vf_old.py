"""An environment as packages for verifiers 0.3 write them."""


def load_environment():
    """Makes it."""
