"""The level-triggered controller: mirror what is, decide what should be, write one thing at a time, look again."""
