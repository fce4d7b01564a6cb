"""Networks that tell from a crop how a head is turned."""
