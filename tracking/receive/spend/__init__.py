"""Ad spend: uploaded by the shop, or read from Pinterest."""
