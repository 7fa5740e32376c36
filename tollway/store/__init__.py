"""The SQL adapter: functions (db, org, …) to domain values. The only SQL."""
