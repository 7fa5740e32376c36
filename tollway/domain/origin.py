"""Origins: where a page in a browser is from. Owns their form; does not own what they may do."""

import re

_ORIGIN = re.compile(r"https?://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def parse_origins(text: str) -> tuple[str, ...]:
    """The origins of a comma list, exactly as browsers write them; ValueError, naming what is none."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    for origin in found:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin: https://host or https://host:port, in lower case")
    return found
