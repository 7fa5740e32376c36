"""The configured database, as commands open it that only read, beside a running server or without.

Owns what they say where there is none; does not own what they read.
"""

from tollway.domain.ids import OrgId
from tollway.settings import Settings, SettingsError
from tollway.store.audit import find_org
from tollway.store.database import Database
from tollway.store.revision import open_existing


async def existing(settings: Settings) -> Database:
    """The database, which is neither made nor migrated here. SettingsError, StoreUnavailable."""
    try:
        return await open_existing(settings.sql_url)
    except ValueError as error:
        raise SettingsError(f"database_url: {error}") from None


async def named_org(database: Database, named: str) -> OrgId:
    """The organisation that `--org` names or gives the id of; SettingsError if there is none."""
    found = await database.read(find_org, named)
    if found is None:
        raise SettingsError(f"--org: there is no organisation {named}")
    return found
