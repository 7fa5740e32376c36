"""The cold verb: an organisation's samples and log lines, sent to its own receivers."""
