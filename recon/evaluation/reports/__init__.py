"""Results of evaluations and their reports as Markdown, JSON and pictures."""
