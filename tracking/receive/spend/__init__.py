"""Ad spend, uploaded or read from Pinterest."""
