"""A deterministic simulation of processes, their journals, a folder, a recovery and a database.

The production's code runs; its ends are simulated: threads, time, the disk, SQL's server (real
SQL on an SQLite in memory), callers and the vendor. A seed decides all that happens, and the same
seed lets the same happen again. What is promised, and checked at the end of each seed, once all
faults are over and one process has recovered and folded what there is:

**Always.** A row is true: a settled one has the vendor's units and their cost, an unsettled one no
cost and the start's hold. An attempt has at most one row, and at most one correction of an
unsettled one. Rows are never changed, doubled or removed; an organisation's are numbered without
a gap. Cycles, series, `num_unsettled` and `held` are the sums over the rows: what is held is freed
by a correction only. A journal's position never passes an end that has no row. A call that was
admitted has room for its end, on a full disk too. A journal never takes more than it may.
So it is whatever the processes' clocks say, and while others read a journal that is being written.

**A process is killed, or stops**, whatever `journal_fsync` says: each admitted call is explained
by a row; each whose end was written is settled. Ends that no disk took (each write has failed, and
no new segment could be begun) are unsettled.

**The machine loses power**, or **a synchronisation fails** and the process is gone before it could
write everything again. What was stored by then is kept as above. Of the rest:

* `group`: every call that the vendor was asked for is explained; every call whose answer was
  given after `durable` returned is settled.
* `interval`: what began or ended after the last synchronisation that covers it may be lost: a call
  that ended since may be unsettled, one that began since may have no row at all.
* `never`: nothing is stored until the system does so; all that is in no database may be lost. A
  synchronisation that fails (there is one, at a stop) may cost as much without a loss of power.

**The database is away, its confirmation is lost, or it is restored.** Nothing is lost, as long as what a
backup lacks is still in the journals: segments that were removed after the backup was made are
gone. So are those that go after the restoration, before their process finds out (some seconds).

**A record rots**, or **no row can hold an end.** Its call may be lost, or unsettled; no other is.

**Bodies** that are kept are those that were sent; any may be missing.
"""
