"""All that is measured, one after the other. Run: `make bench`."""

from bench import limits, logs, pushing, record, recording, through

for title, part in (
    ("What the gateway adds", through),
    ("What recording costs", recording),
    ("What limits cost", limits),
    ("What the record costs", record),
    ("What pushing costs", pushing),
    ("What a search for logs costs", logs),
):
    print(f"\n## {title}\n", flush=True)
    part.main()
