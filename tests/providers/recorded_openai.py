"""Recorded usages of OpenAI, worked out by hand."""

from tests.providers.recorded import FEE, Line, Recorded, chat, chunk
from tollway.domain.usage import Unit

CACHED = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 192,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}

OPENAI = (
    Recorded(
        name="OpenAI chat, cached and reasoning tokens",
        note="tier `default`",
        model="openai/gpt-5-mini",
        said=chat(CACHED, service_tier="default"),
        lines={
            Unit.INPUT: Line(86, "250", 21_500),
            Unit.CACHE_READ: Line(1920, "25", 48_000),
            Unit.OUTPUT: Line(108, "2000", 216_000),
            Unit.REASONING: Line(192, "2000", 384_000),
            **FEE,
        },
        total=669_500,
        tokens=(2006, 300),
    ),
    Recorded(
        name="The same",
        note="tier `flex`: half",
        model="openai/gpt-5-mini",
        said=chat(CACHED, service_tier="flex"),
        lines={
            Unit.INPUT: Line(86, "125", 10_750),
            Unit.CACHE_READ: Line(1920, "12.5", 24_000),
            Unit.OUTPUT: Line(108, "1000", 108_000),
            Unit.REASONING: Line(192, "1000", 192_000),
            **FEE,
        },
        total=334_750,
        tokens=(2006, 300),
    ),
    Recorded(
        name="The same",
        note="tier `priority`",
        model="openai/gpt-5-mini",
        said=chat(CACHED, service_tier="priority"),
        lines={
            Unit.INPUT: Line(86, "450", 38_700),
            Unit.CACHE_READ: Line(1920, "45", 86_400),
            Unit.OUTPUT: Line(108, "3600", 388_800),
            Unit.REASONING: Line(192, "3600", 691_200),
            **FEE,
        },
        total=1_205_100,
        tokens=(2006, 300),
    ),
    Recorded(
        name="OpenAI stream, details null",
        note="an unknown tier is the standard one",
        model="openai/gpt-4o",
        streamed=True,
        said=(
            chunk("Hi", usage=None, service_tier="scale"),
            chunk(
                usage={
                    "prompt_tokens": 10,
                    "completion_tokens": 5,
                    "total_tokens": 15,
                    "prompt_tokens_details": None,
                    "completion_tokens_details": None,
                },
                service_tier="scale",
            ),
        ),
        lines={
            Unit.INPUT: Line(10, "2500", 25_000),
            Unit.OUTPUT: Line(5, "10000", 50_000),
            **FEE,
        },
        total=75_000,
        tokens=(10, 5),
    ),
    Recorded(
        name="OpenAI predicted outputs",
        note="rejected tokens lie inside the completion, and cost",
        model="openai/gpt-4o",
        said=chat(
            {
                "prompt_tokens": 1500,
                "completion_tokens": 100,
                "total_tokens": 1600,
                "completion_tokens_details": {
                    "accepted_prediction_tokens": 60,
                    "rejected_prediction_tokens": 20,
                },
            }
        ),
        lines={
            Unit.INPUT: Line(1500, "2500", 3_750_000),
            Unit.OUTPUT: Line(100, "10000", 1_000_000),
            **FEE,
        },
        total=4_750_000,
        tokens=(1500, 100),
    ),
    Recorded(
        name="OpenAI audio, in and out",
        model="openai/gpt-audio",
        said=chat(
            {
                "prompt_tokens": 100,
                "completion_tokens": 60,
                "total_tokens": 160,
                "prompt_tokens_details": {"text_tokens": 30, "audio_tokens": 70, "cached_tokens": 0},
                "completion_tokens_details": {"text_tokens": 20, "audio_tokens": 40},
            }
        ),
        lines={
            Unit.INPUT: Line(30, "2500", 75_000),
            Unit.INPUT_AUDIO: Line(70, "32000", 2_240_000),
            Unit.OUTPUT: Line(20, "10000", 200_000),
            Unit.OUTPUT_AUDIO: Line(40, "64000", 2_560_000),
            **FEE,
        },
        total=5_075_000,
        tokens=(100, 60),
    ),
    Recorded(
        name="OpenAI search model",
        note="no count is reported; an answer that cites the web was searched for once",
        model="openai/gpt-4o-mini-search-preview",
        said=chat(
            {"prompt_tokens": 15, "completion_tokens": 120, "total_tokens": 135},
            message={
                "annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}]
            },
        ),
        lines={
            Unit.INPUT: Line(15, "150", 2_250),
            Unit.OUTPUT: Line(120, "600", 72_000),
            Unit.WEB_SEARCH: Line(1, "10000000", 10_000_000),
            **FEE,
        },
        total=10_074_250,
        tokens=(15, 120),
    ),
    Recorded(
        name="OpenAI embeddings",
        model="openai/text-embedding-3-small",
        said=({"object": "list", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}},),
        lines={Unit.INPUT: Line(8, "20", 160), **FEE},
        total=160,
        tokens=(8, 0),
    ),
    Recorded(
        name="Details larger than their wholes",
        note="the parts are believed",
        model="openai/gpt-5-mini",
        said=chat(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 50},
                "completion_tokens_details": {"reasoning_tokens": 70},
            }
        ),
        lines={
            Unit.CACHE_READ: Line(50, "25", 1_250),
            Unit.REASONING: Line(70, "2000", 140_000),
            **FEE,
        },
        total=141_250,
        tokens=(50, 70),
    ),
)
