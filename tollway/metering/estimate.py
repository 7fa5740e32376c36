"""Usage counted by us, for answers whose vendor reported none.

The rule is stated rather than clever: one token for every four bytes of UTF-8, rounded up.
Rows made by it are marked `estimated`. Owns the rule; does not own when it applies.
"""

from tollway.domain.usage import Unit, Usage

BYTES_PER_TOKEN = 4


def estimate(prompt_bytes: int, completion_bytes: int, most_tokens: int) -> Usage:
    """Units for a prompt and a completion of so many bytes; no more of the completion than may be."""
    units = {
        Unit.INPUT: -(-prompt_bytes // BYTES_PER_TOKEN),
        Unit.OUTPUT: min(-(-completion_bytes // BYTES_PER_TOKEN), most_tokens),
        Unit.REQUEST: 1,
    }
    return {unit: count for unit, count in units.items() if count}
