"""Recorded usages of Google's models in OpenAI's dialect, worked out by hand."""

from tests.providers.recorded import FEE, Line, Recorded, chat, chunk
from tollway.domain.usage import Unit

GEMINI = (
    Recorded(
        name="Gemini's OpenAI endpoint, stream",
        note="usage in every chunk, the last counts; thought is in the total only",
        model="google/gemini-3-flash-preview",
        streamed=True,
        said=(
            chunk("1", usage={"completion_tokens": 1, "prompt_tokens": 9, "total_tokens": 103}),
            chunk(", 2", usage={"completion_tokens": 3, "prompt_tokens": 9, "total_tokens": 105}),
        ),
        lines={
            Unit.INPUT: Line(9, "500", 4_500),
            Unit.OUTPUT: Line(3, "3000", 9_000),
            Unit.REASONING: Line(93, "3000", 279_000),
            **FEE,
        },
        total=292_500,
        tokens=(9, 96),
    ),
    Recorded(
        name="Gemini, 200,000 tokens",
        note="not above the step",
        model="google/gemini-2.5-pro",
        said=chat({"prompt_tokens": 200_000, "completion_tokens": 1000, "total_tokens": 201_800}),
        lines={
            Unit.INPUT: Line(200_000, "1250", 250_000_000),
            Unit.OUTPUT: Line(1000, "10000", 10_000_000),
            Unit.REASONING: Line(800, "10000", 8_000_000),
            **FEE,
        },
        total=268_000_000,
        tokens=(200_000, 1800),
    ),
    Recorded(
        name="Gemini, 200,001 tokens",
        note="the step's price for all",
        model="google/gemini-2.5-pro",
        said=chat({"prompt_tokens": 200_001, "completion_tokens": 1000, "total_tokens": 201_801}),
        lines={
            Unit.INPUT: Line(200_001, "2500", 500_002_500),
            Unit.OUTPUT: Line(1000, "15000", 15_000_000),
            Unit.REASONING: Line(800, "15000", 12_000_000),
            **FEE,
        },
        total=527_002_500,
        tokens=(200_001, 1800),
    ),
    Recorded(
        name="Gemini, cached audio",
        note="800 + 900 do not fit into 1,000: at least 700 of the cached tokens are audio",
        model="google/gemini-2.5-flash",
        said=chat(
            {
                "prompt_tokens": 1000,
                "completion_tokens": 50,
                "total_tokens": 1050,
                "prompt_tokens_details": {"cached_tokens": 800, "audio_tokens": 900},
            }
        ),
        lines={
            Unit.CACHE_READ: Line(100, "30", 3_000),
            Unit.CACHE_READ_AUDIO: Line(700, "100", 70_000),
            Unit.INPUT_AUDIO: Line(200, "1000", 200_000),
            Unit.OUTPUT: Line(50, "2500", 125_000),
            **FEE,
        },
        total=398_000,
        tokens=(1000, 50),
    ),
    Recorded(
        name="An image, as OpenRouter reports it",
        note="priced as Google's own",
        model="google/gemini-2.5-flash-image",
        said=chat(
            {
                "prompt_tokens": 40,
                "completion_tokens": 1300,
                "total_tokens": 1340,
                "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 1290},
            }
        ),
        lines={
            Unit.INPUT: Line(40, "300", 12_000),
            Unit.OUTPUT: Line(10, "2500", 25_000),
            Unit.OUTPUT_IMAGE: Line(1290, "30000", 38_700_000),
            **FEE,
        },
        total=38_737_000,
        tokens=(40, 1300),
    ),
)
