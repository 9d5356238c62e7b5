"""Delivery: claims waiting events, sends them and settles them."""
