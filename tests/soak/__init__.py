"""The soak: the real server against the fault-injecting vendor, killed, starved, restored, and audited."""
