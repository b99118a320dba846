"""What can go wrong with a bed, said to the person who started it."""


class TestbedError(Exception):
    """A bed cannot be built, started or used; the message says what is wrong and what to do."""

    # pytest collects classes by their name's beginning.
    __test__ = False
