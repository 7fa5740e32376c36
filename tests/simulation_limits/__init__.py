"""A deterministic simulation of processes that share limits by leases.

The production's `limits/`, and of `store/` what lends, folds and closes, run on one SQLite in
memory; the scheduler is that of `tests/simulation`. Journals are lists that outlive their
processes, in order; the vendor honours the cap that it is sent. What is promised, and checked at
each admission and at the end of each seed:

**Always.** For each pot: what its calls of the window have really cost, and the worst case of
those that are in flight, or that nobody can explain yet, is within the limit. An unsettled call
keeps its worst case. Calls in flight count in a new cycle too. A limit that was lowered holds for
whatever is admitted after every process that lives has learnt of it. A limit that was set counts
a call that was admitted before with its row; one of a minute is exact while the database answers.

**After rest.** With all journals folded, what is lent to a process is what it has; some time
later that is nothing. No call is counted in flight. All totals are the sums of rows.

**Use.** Small calls, one after the other, use all of a limit but less than one call, whoever had
it. Of a minute in which every process keeps trying, exactly the limit is let through.
"""
