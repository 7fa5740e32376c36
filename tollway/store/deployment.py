"""The one row of this installation: its id, which outlives processes, and its operator.

Owns who is first to start; does not own what is printed then.
"""

from sqlalchemy import Connection, func, insert, select, update

from tollway.domain.ids import new_id
from tollway.store.database import all_orgs
from tollway.store.partitions import lock_schema
from tollway.store.schema import deployment


@all_orgs
def identify(db: Connection, now_us: int) -> str:
    """The deployment's id; made on the first start."""
    lock_schema(db)  # several processes may be the first at once
    found = db.execute(select(deployment.c.id)).scalar()
    if found is not None:
        return str(found)
    made = new_id(now_us)
    db.execute(insert(deployment).values(id=made, added_us=now_us))
    return made


_INSTANCE = select(func.coalesce(deployment.c.instance, deployment.c.id))


@all_orgs
def read_instance(db: Connection) -> str:
    """The `instance` of metrics: the deployment's id, or what took its place when a backup was restored."""
    return str(db.execute(_INSTANCE).scalar_one())


@all_orgs
def renew_instance(db: Connection, now_us: int) -> str:
    """Another `instance` from now on: what counters showed may be more than this database knows."""
    made = new_id(now_us)
    db.execute(update(deployment).values(instance=made))
    return made


@all_orgs
def operator_token_hash(db: Connection) -> str | None:
    """The hash of the generated operator token; None before there is one."""
    found = db.execute(select(deployment.c.operator_token_hash)).scalar()
    return None if found is None else str(found)


@all_orgs
def claim_operator(db: Connection, token_hash: str) -> bool:
    """Store the hash unless another process was first; whether it is now ours."""
    claimed = db.execute(
        update(deployment)
        .where(deployment.c.operator_token_hash.is_(None))
        .values(operator_token_hash=token_hash)
    )
    return bool(claimed.rowcount)
