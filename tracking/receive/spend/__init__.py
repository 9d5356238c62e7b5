"""Ad spend that the shop uploads."""
