"""What vendors reported, and what it costs, worked out by hand: the table of `docs/metering.md`.

Shapes are those of the vendors' documentation and of public recordings. A unit's rate is in
nano-dollars (1e-9 $), from the vendor's price sheet: $1 per million tokens is 1,000 of them. A
test fails if the public list of prices changes one of these for that day.
"""

from tests.providers.recorded_anthropic import ANTHROPIC
from tests.providers.recorded_google import GEMINI
from tests.providers.recorded_openai import OPENAI
from tests.providers.recorded_others import OTHERS

TABLE = (*OPENAI, *ANTHROPIC, *GEMINI, *OTHERS)
