"""The shape of what covers the head: hair, clothes, glasses, hands."""
