"""Pictures for people: overviews of a result, of a face model, of a batch."""
