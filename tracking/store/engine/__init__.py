"""The two databases and what both need: transactions, statements, locks, disk space."""
