"""The hot verb: from a finished call to a stored ledger row."""
