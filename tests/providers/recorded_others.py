"""Recorded usages of other vendors in OpenAI's dialect, worked out by hand."""

from tests.providers.recorded import FEE, Line, Recorded, chat, chunk
from tollway.domain.usage import Unit

OTHERS = (
    Recorded(
        name="vLLM, stream with a running usage",
        note="a price of your own; half a nano-dollar goes to the even sum",
        model="vllm/own-model",
        configured={"input": "0.0375", "cached_input": "0.01875", "output": "0.15"},
        streamed=True,
        said=(
            chunk("", usage={"prompt_tokens": 33, "total_tokens": 33, "completion_tokens": 0}),
            chunk("Hel", usage={"prompt_tokens": 33, "total_tokens": 34, "completion_tokens": 1}),
            chunk("lo", usage={"prompt_tokens": 33, "total_tokens": 50, "completion_tokens": 17}),
            chunk(
                usage={
                    "prompt_tokens": 33,
                    "total_tokens": 50,
                    "completion_tokens": 17,
                    "prompt_tokens_details": None,
                }
            ),
        ),
        lines={
            Unit.INPUT: Line(33, "37.5", 1_238),
            Unit.OUTPUT: Line(17, "150", 2_550),
            **FEE,
        },
        total=3_788,
        tokens=(33, 17),
    ),
    Recorded(
        name="x.ai, an image and reasoning",
        note="reasoning outside of the completion, as the total shows",
        model="x-ai/grok-4",
        said=chat(
            {
                "prompt_tokens": 288,
                "completion_tokens": 9,
                "total_tokens": 391,
                "prompt_tokens_details": {
                    "text_tokens": 32,
                    "audio_tokens": 0,
                    "image_tokens": 256,
                    "cached_tokens": 6,
                },
                "completion_tokens_details": {
                    "reasoning_tokens": 94,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
                "num_sources_used": 0,
            }
        ),
        lines={
            Unit.INPUT: Line(26, "3000", 78_000),
            Unit.CACHE_READ: Line(6, "750", 4_500),
            Unit.INPUT_IMAGE: Line(256, "3000", 768_000),
            Unit.OUTPUT: Line(9, "15000", 135_000),
            Unit.REASONING: Line(94, "15000", 1_410_000),
            **FEE,
        },
        total=2_395_500,
        tokens=(288, 103),
    ),
    Recorded(
        name="DeepSeek, cache hits in a field of its own",
        note="at noon, UTC",
        model="deepseek/deepseek-chat",
        said=chat(
            {
                "prompt_tokens": 1661,
                "completion_tokens": 862,
                "total_tokens": 2523,
                "prompt_cache_hit_tokens": 256,
                "prompt_cache_miss_tokens": 1405,
                "completion_tokens_details": {"reasoning_tokens": 451},
            }
        ),
        lines={
            Unit.INPUT: Line(1405, "270", 379_350),
            Unit.CACHE_READ: Line(256, "70", 17_920),
            Unit.OUTPUT: Line(411, "1100", 452_100),
            Unit.REASONING: Line(451, "1100", 496_100),
            **FEE,
        },
        total=1_345_470,
        tokens=(1661, 862),
    ),
    Recorded(
        name="Mistral",
        model="mistral/mistral-small-latest",
        said=chat(
            {
                "prompt_tokens": 13,
                "completion_tokens": 7,
                "total_tokens": 20,
                "num_cached_tokens": 0,
                "prompt_tokens_details": {"cached_tokens": 0},
                "prompt_audio_seconds": None,
            }
        ),
        lines={
            Unit.INPUT: Line(13, "150", 1_950),
            Unit.OUTPUT: Line(7, "600", 4_200),
            **FEE,
        },
        total=6_150,
        tokens=(13, 7),
    ),
    Recorded(
        name="Mistral, audio",
        note="sold by the hour; its tokens are in the total only, and not counted",
        model="mistral/voxtral-small-latest",
        said=chat(
            {
                "prompt_tokens": 3,
                "completion_tokens": 41,
                "total_tokens": 419,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 375},
                "prompt_audio_seconds": 12,
            }
        ),
        lines={
            Unit.INPUT: Line(3, "100", 300),
            Unit.INPUT_AUDIO_SECONDS: Line(12, "240000000/3600", 800_000),
            Unit.OUTPUT: Line(41, "400", 16_400),
            **FEE,
        },
        total=816_700,
        tokens=(3, 41),
    ),
    Recorded(
        name="Groq, stream",
        note="usage in `x_groq`",
        model="groq/llama-3.3-70b-versatile",
        streamed=True,
        said=(
            chunk("Hi", x_groq={"id": "req_1"}),
            chunk(
                "",
                x_groq={
                    "id": "req_1",
                    "usage": {
                        "queue_time": 0.04,
                        "prompt_tokens": 40,
                        "prompt_time": 0.01,
                        "completion_tokens": 25,
                        "completion_time": 0.1,
                        "total_tokens": 65,
                        "total_time": 0.11,
                    },
                },
            ),
        ),
        lines={
            Unit.INPUT: Line(40, "590", 23_600),
            Unit.OUTPUT: Line(25, "790", 19_750),
            **FEE,
        },
        total=43_350,
        tokens=(40, 25),
    ),
    Recorded(
        name="OpenRouter, cache written",
        note="its own `cost` is not believed",
        model="openrouter/anthropic/claude-sonnet-4.5",
        said=chat(
            {
                "prompt_tokens": 194,
                "completion_tokens": 2,
                "total_tokens": 196,
                "cost": 0.95,
                "cost_details": {"upstream_inference_cost": 19},
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            }
        ),
        lines={
            Unit.INPUT: Line(94, "3000", 282_000),
            Unit.CACHE_WRITE_5M: Line(100, "3750", 375_000),
            Unit.OUTPUT: Line(2, "15000", 30_000),
            **FEE,
        },
        total=687_000,
        tokens=(194, 2),
    ),
    Recorded(
        name="Perplexity",
        note="a fee for each call; searches and citations are free at this model",
        model="perplexity/sonar",
        said=chat(
            {
                "prompt_tokens": 14,
                "completion_tokens": 200,
                "total_tokens": 214,
                "search_context_size": "low",
                "citation_tokens": 20,
                "num_search_queries": 1,
            }
        ),
        lines={
            Unit.INPUT: Line(14, "1000", 14_000),
            Unit.OUTPUT: Line(200, "1000", 200_000),
            Unit.CITATION: Line(20),
            Unit.REQUEST: Line(1, "12000000", 12_000_000),
            Unit.WEB_SEARCH: Line(1),
        },
        total=12_214_000,
        tokens=(14, 220),
    ),
    Recorded(
        name="Perplexity deep research",
        note="reasoning and citations outside of the completion; the vendor itself says $0.41",
        model="perplexity/sonar-deep-research",
        said=chat(
            {
                "prompt_tokens": 33,
                "completion_tokens": 7163,
                "total_tokens": 7196,
                "citation_tokens": 20016,
                "num_search_queries": 18,
                "reasoning_tokens": 73997,
                "cost": {"total_cost": 0.41},
            }
        ),
        lines={
            Unit.INPUT: Line(33, "2000", 66_000),
            Unit.OUTPUT: Line(7163, "8000", 57_304_000),
            Unit.REASONING: Line(73997, "3000", 221_991_000),
            Unit.CITATION: Line(20016, "2000", 40_032_000),
            Unit.WEB_SEARCH: Line(18, "5000000", 90_000_000),
            **FEE,
        },
        total=409_393_000,
        tokens=(33, 101_176),
    ),
)
