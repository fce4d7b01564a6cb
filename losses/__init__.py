"""What a prediction is punished for: one module a term, pure tensor code, nothing loaded at import."""
