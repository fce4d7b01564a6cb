"""Training of the regressor: batches, losses put together, Lightning modules and data."""
