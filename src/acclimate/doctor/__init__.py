"""The doctor: from measured signs of a run to findings in plain words. Pure functions; nothing is read or predicted."""
