"""The end of an organisation: what is kept of it, and until when.

Owns the period; does not own what is removed (`store/orgs.py`, `store/purge.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from tollway.domain.clock import US_PER_S
from tollway.domain.ids import OrgId

LEDGER_KEPT_DAYS = 3_653
"""Ten years: what invoices are made from is an accounting record, which laws have kept for so long."""
LEDGER_KEPT_US = LEDGER_KEPT_DAYS * 86_400 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedOrg:
    """An organisation that was just deleted."""

    org_id: OrgId
    org_name: Annotated[str, "Not free again before the ledger is gone"]
    deleted_on: datetime
    ledger_kept_until: Annotated[datetime, "From then on the operator's next purge removes its rows"]
