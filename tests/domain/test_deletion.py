"""How long a deleted organisation's ledger is kept."""

from datetime import UTC, datetime

from tollway.domain.deletion import LEDGER_KEPT_US
from tollway.domain.moment import us_of


def test_it_is_kept_for_at_least_ten_years_whenever_they_begin() -> None:
    for year in range(2024, 2034):
        begun, over = (us_of(datetime(each, 1, 1, tzinfo=UTC)) for each in (year, year + 10))
        assert 0 <= begun + LEDGER_KEPT_US - over <= 24 * 3600 * 10**6
