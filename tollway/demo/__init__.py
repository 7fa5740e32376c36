"""The world outside, in process: what a newcomer and the tests talk to."""
