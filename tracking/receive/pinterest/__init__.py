"""The readings of Pinterest: spend, and what Pinterest itself says of its ads."""
