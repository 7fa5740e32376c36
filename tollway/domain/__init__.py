"""The nouns. No I/O and no await; time comes in as an argument."""
