"""All that is measured, one after the other. Run: `make bench`."""

from bench import record, recording, through

for title, part in (
    ("What the gateway adds", through),
    ("What recording costs", recording),
    ("What the record costs", record),
):
    print(f"\n## {title}\n", flush=True)
    part.main()
