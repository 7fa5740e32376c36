"""What may be let through: reservations before a call, settled after it, exact across processes."""
