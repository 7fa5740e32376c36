"""What a target exposes, in the text format and in OpenMetrics: names, values, types."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.control.forwarding import samples_of
from tollway.push.samples import Metadata

NAMES = st.from_regex(r"[a-z][a-z0-9_:]{0,8}(_total|_created|_bucket|_sum|_count)?", fullmatch=True)
KINDS = st.sampled_from(["counter", "gauge", "histogram", "summary", "untyped", "unknown", "info"])
SNIPPETS = [
    "a",
    "b_total",
    "{",
    "}",
    '"',
    "=",
    ",",
    " ",
    "\n",
    "# TYPE ",
    "# HELP ",
    "counter",
    "1",
    "\\",
    "\u2028",
]


def read(text: str) -> tuple[list[tuple[str, float]], dict[str, Metadata]]:
    described: dict[str, Metadata] = {}
    found = samples_of(text, {"job": "j"}, described)
    return [(dict(sample.labels)["__name__"], sample.value) for sample in found], described


class TestNames:
    @pytest.mark.parametrize("line_end", ["\n", "\r\n"])
    def test_a_counter_without_total_keeps_its_name(self, line_end: str) -> None:
        page = ["# HELP request_count Made.", "# TYPE request_count counter", "request_count 7", ""]
        found, described = read(line_end.join(page))
        assert found == [("request_count", 7)]
        assert described == {"request_count": Metadata("counter", "Made.", "")}

    def test_a_counter_without_total_and_one_with_it_are_two(self) -> None:
        page = "# TYPE a counter\na 1\n# TYPE a_total gauge\na_total 2\n"
        found, described = read(page)
        assert found == [("a", 1), ("a_total", 2)]
        assert {name: known.type for name, known in described.items()} == {"a": "counter", "a_total": "gauge"}

    def test_all_series_of_a_counter_keep_their_labels_and_values(self) -> None:
        page = '# TYPE a counter\na{x="1"} 1\na{x="2"} 2 1700000000000\n'
        found = samples_of(page, {}, {})
        assert [(sample.labels, sample.value) for sample in found] == [
            ((("__name__", "a"), ("x", "1")), 1.0),
            ((("__name__", "a"), ("x", "2")), 2.0),
        ]

    @settings(max_examples=200, deadline=None)
    @given(st.dictionaries(NAMES, st.tuples(KINDS, st.integers(-5, 5)), max_size=6))
    def test_what_has_a_type_goes_out_as_it_is_exposed(self, page: dict[str, tuple[str, int]]) -> None:
        text = "".join(f"# TYPE {name} {kind}\n{name} {value}\n" for name, (kind, value) in page.items())
        found, described = read(text)
        assert found == [(name, value) for name, (_, value) in page.items()]
        kinds = {name: kind for name, (kind, _) in page.items() if kind in ("counter", "gauge", "histogram")}
        assert {name: known.type for name, known in described.items()} == kinds

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from(SNIPPETS), max_size=12))
    def test_what_is_no_page_is_a_value_error_and_nothing_else(self, snippets: list[str]) -> None:
        try:
            found, _ = read("".join(snippets))
        except ValueError:
            return
        assert all(name for name, _ in found)


class TestOpenMetrics:
    PAGE = """\
# HELP calls Calls made.
# TYPE calls counter
calls_total 101.13 # {trace_id="abc"} 1 1700000000.5
calls_created 1700000000.123
# TYPE took_seconds histogram
# UNIT took_seconds seconds
took_seconds_count 2
took_seconds_sum 2.5
took_seconds_bucket{le="+Inf"} 2
took_seconds_created 1700000000.123
# EOF
"""

    def test_a_counter_has_its_type_and_its_help(self) -> None:
        _, described = read(self.PAGE)
        assert described["calls_total"] == Metadata("counter", "Calls made.", "")
        assert described["took_seconds"].type == "histogram"
        assert set(described) == {"calls_total", "took_seconds"}

    def test_names_and_values_are_those_of_the_samples(self) -> None:
        found, _ = read(self.PAGE)
        assert found == [
            ("calls_total", 101.13),
            ("took_seconds_count", 2),
            ("took_seconds_sum", 2.5),
            ("took_seconds_bucket", 2),
        ]

    def test_a_name_may_be_quoted(self) -> None:
        page = '# HELP "a.b" Dots.\n# TYPE "a.b" counter\n{"a.b",x="1"} 3\n# TYPE "c d" counter\n{"c d"} 4\n'
        found, described = read(page)
        assert found == [("a.b", 3), ("c d", 4)]
        assert described == {"a.b": Metadata("counter", "Dots.", ""), "c d": Metadata("counter", "", "")}


class TestSinceWhen:
    def test_what_was_created_when_is_no_sample(self) -> None:
        page = "# TYPE a_total counter\na_total 1\na_created 123\n# TYPE s summary\ns_sum 2\ns_created 123\n"
        found, described = read(page)
        assert found == [("a_total", 1), ("s_sum", 2)]
        assert described == {"a_total": Metadata("counter", "", "")}

    def test_a_metric_of_that_name_is_one(self) -> None:
        page = "pod_created 5\n# TYPE room gauge\nroom 1\nroom_created 6\n"
        page += "# TYPE b counter\nb 1\n# TYPE b_created gauge\nb_created 7\n"
        found, _ = read(page)
        assert found == [("pod_created", 5), ("room", 1), ("room_created", 6), ("b", 1), ("b_created", 7)]


def test_a_page_that_breaks_off_describes_nothing() -> None:
    described: dict[str, Metadata] = {}
    with pytest.raises(ValueError, match="one"):
        samples_of("# TYPE a counter\na 1\na one\n", {}, described)
    assert described == {}
