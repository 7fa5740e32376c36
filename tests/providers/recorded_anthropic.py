"""Recorded usages of Anthropic's Messages API, worked out by hand."""

from tests.providers.recorded import FEE, Line, Recorded, began, ended, message
from tollway.domain.usage import Unit

ANTHROPIC = (
    Recorded(
        name="Anthropic, cache written and read, thinking, web search",
        note="cached tokens lie outside of `input_tokens`",
        dialect="anthropic",
        model="anthropic/claude-sonnet-4-5",
        said=message(
            {
                "input_tokens": 412,
                "cache_creation_input_tokens": 1500,
                "cache_read_input_tokens": 20000,
                "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 500},
                "output_tokens": 350,
                "output_tokens_details": {"thinking_tokens": 128},
                "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
                "service_tier": "standard",
            }
        ),
        lines={
            Unit.INPUT: Line(412, "3000", 1_236_000),
            Unit.CACHE_READ: Line(20000, "300", 6_000_000),
            Unit.CACHE_WRITE_5M: Line(1000, "3750", 3_750_000),
            Unit.CACHE_WRITE_1H: Line(500, "6000", 3_000_000),
            Unit.OUTPUT: Line(222, "15000", 3_330_000),
            Unit.REASONING: Line(128, "15000", 1_920_000),
            Unit.WEB_SEARCH: Line(2, "10000000", 20_000_000),
            **FEE,
        },
        total=39_236_000,
        tokens=(21_912, 350),
    ),
    Recorded(
        name="Anthropic stream",
        note="the last event's totals count; what it does not repeat stays",
        dialect="anthropic",
        model="anthropic/claude-haiku-4-5",
        streamed=True,
        said=(
            began(
                {
                    "input_tokens": 2679,
                    "cache_creation_input_tokens": 300,
                    "cache_read_input_tokens": 0,
                    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 300},
                    "output_tokens": 3,
                    "service_tier": "priority",
                }
            ),
            ended({"output_tokens": 120}),
            ended(
                {
                    "input_tokens": 10682,
                    "cache_creation_input_tokens": 700,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 510,
                    "server_tool_use": {"web_search_requests": 1},
                }
            ),
        ),
        lines={
            Unit.INPUT: Line(10682, "1000", 10_682_000),
            Unit.CACHE_WRITE_5M: Line(400, "1250", 500_000),
            Unit.CACHE_WRITE_1H: Line(300, "2000", 600_000),
            Unit.OUTPUT: Line(510, "5000", 2_550_000),
            Unit.WEB_SEARCH: Line(1, "10000000", 10_000_000),
            **FEE,
        },
        total=24_332_000,
        tokens=(11_382, 510),
    ),
    Recorded(
        name="Anthropic, above 200,000 tokens",
        note="cached tokens count towards the step",
        dialect="anthropic",
        model="anthropic/claude-sonnet-4-5",
        said=message(
            {
                "input_tokens": 20001,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 180000,
                "output_tokens": 1000,
                "service_tier": "standard",
            }
        ),
        lines={
            Unit.INPUT: Line(20001, "6000", 120_006_000),
            Unit.CACHE_READ: Line(180000, "600", 108_000_000),
            Unit.OUTPUT: Line(1000, "22500", 22_500_000),
            **FEE,
        },
        total=250_506_000,
        tokens=(200_001, 1000),
    ),
    Recorded(
        name="Anthropic, compaction",
        note="its pass is billed on top of the totals",
        dialect="anthropic",
        model="anthropic/claude-opus-4-6",
        said=message(
            {
                "input_tokens": 23000,
                "output_tokens": 1000,
                "iterations": [
                    {"type": "compaction", "input_tokens": 180000, "output_tokens": 3500},
                    {"type": "message", "input_tokens": 23000, "output_tokens": 1000},
                ],
            }
        ),
        lines={
            Unit.INPUT: Line(203_000, "5000", 1_015_000_000),
            Unit.OUTPUT: Line(4500, "25000", 112_500_000),
            **FEE,
        },
        total=1_127_500_000,
        tokens=(203_000, 4500),
    ),
)
