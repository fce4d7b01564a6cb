"""Geometry around the head: hair, clothes, glasses, hands; and what is known of a model's head."""
