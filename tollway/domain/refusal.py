"""Refused calls: how many of one app were turned away for one reason.

A refused call costs nothing and has no ledger row, but it is counted. Owns what such a count
holds; does not own who refuses (`limits/`), or how counts are kept (`metering/journal.py`).
"""

import msgspec

from tollway.domain.ids import OrgId


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """So many calls of one app, refused for one reason since this was last told.

    `app` is the app's slug, `code` the error's; `at_us` is when they were told.
    """

    org_id: OrgId
    app: str
    code: str
    count: int
    at_us: int
